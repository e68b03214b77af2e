package config

import (
	"fmt"
	"log/slog"
	"strings"
)

// MinKey is how long a signature key must be, in bytes, unless short ones are allowed.
const MinKey = 16

// Keys is signature keys as raw bytes. They never show in logs or errors.
type Keys [][]byte

// UnmarshalText reads keys that are separated by commas, so a key that holds a comma cannot be
// given.
func (k *Keys) UnmarshalText(text []byte) error {
	*k = nil
	for i, key := range strings.Split(string(text), ",") {
		if key != strings.TrimSpace(key) {
			return fmt.Errorf("key %d has white space around it", i+1)
		}
		*k = append(*k, []byte(key))
	}
	return nil
}

// published are keys that somebody published in the configuration of a push server for everybody to
// copy, by where they stand. Whoever knows the key of a portal can read its private channels and
// post as the portal.
var published = map[string]string{
	"testtesttest":                  "in the compose file of bitrixdock and the README of the image ikarpovich/bitrix-push-server",
	"IMbEDEnTANDiSPATERSIVeRptUGht": "as the default key of the image rmn-lux/bitrix-push-server",
	"CHANGE_SECURITY_KEY_HERE":      "as the place holder in bitrix-tools/env-docker",
	"u9kqCo7qhKIQ8RML9xUGNmcZLVWmS8OsR2UN9jsZuaCY3aqPKGENRWmA36f9r47F" +
		"HnqXlKuMvgsl0hnft7qCAN8iXHw94nHS4D6dxA07BX1lUjwuMJ0t73Z9wJY25Mpu": "in push_config.toml of gromdron/bitrix-push-workspace",
}

// ChangeKey says to an operator how to replace a key.
const ChangeKey = "choose a long random one and enter the same in the portal: Settings → Push and Pull module → signature key, " +
	"or signature_key of the section pull (or pull_s1) in .settings.php"

// PublishedWhere returns where a key was published, as the end of a sentence; "" if it is not known
// to be. Such a key protects nothing.
func PublishedWhere(key []byte) string { return published[string(key)] }

// checkKeys says what is wrong with keys, without showing any but published ones. hint says how to
// put it right.
func checkKeys(keys Keys, short bool) (problem, hint string) {
	for i, key := range keys {
		where := PublishedWhere(key)
		switch {
		case where != "":
			return fmt.Sprintf("key %d is %.32s, which is published %s, so that it protects nothing", i+1, key, where), ChangeKey
		case len(key) == 0:
			return fmt.Sprintf("key %d has 0 bytes", i+1), ChangeKey
		case len(key) < MinKey && !short:
			return fmt.Sprintf("key %d has %d bytes, fewer than %d", i+1, len(key), MinKey),
				ChangeKey + "; " + Prefix + "ALLOW_SHORT_KEYS=true accepts it until then"
		}
	}
	return "", ""
}

// short returns how many of the keys have fewer bytes than [MinKey].
func (k Keys) short() (n int) {
	for _, key := range k {
		if len(key) < MinKey {
			n++
		}
	}
	return n
}

// Format keeps the keys out of whatever is printed, by any verb.
func (k Keys) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%d redacted", len(k)) }

// LogValue keeps the keys out of logs.
func (k Keys) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }

// MarshalText keeps the keys out of whatever is encoded.
func (k Keys) MarshalText() ([]byte, error) { return fmt.Append(nil, k), nil }
