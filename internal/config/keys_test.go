package config

import (
	"strings"
	"testing"
)

// TestShortKeys: a short key is refused with the portal's setting to change, or accepted and
// counted where the operator has said so.
func TestShortKeys(t *testing.T) {
	const allow = "PUSHGATE_ALLOW_SHORT_KEYS=true"
	one, _ := writePortals(t, `{"portals": [{"keys": ["fifteen-bytes--", "0123456789abcdef"]}, {"client_id": "fcda45d0859442735f07b8bb5825ded1", "keys": ["a"]}]}`)
	for _, environ := range []string{"PUSHGATE_KEYS=fifteen-bytes--,0123456789abcdef,a", one} {
		_, err := LoadPublisher([]string{environ})
		checkFault(t, environ, err, "key 1 has 15 bytes, fewer than 16")
		for _, want := range []string{"Push and Pull module", "signature_key", ".settings.php", allow} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v without %q", environ, err, want)
			}
		}
		p, err := LoadPublisher([]string{environ, allow})
		if err != nil {
			t.Error(err)
			continue
		}
		table, err := p.Portals()
		if err != nil || table.ShortKeys() != 2 {
			t.Errorf("%s: %v, %d short keys, want 2", environ, err, table.ShortKeys())
		}
	}
	for _, environ := range []string{"PUSHGATE_KEYS=0123456789abcdef,", "PUSHGATE_KEYS=,x"} {
		_, err := LoadEdge([]string{environ, allow})
		checkFault(t, environ, err, "has 0 bytes")
	}
	p, err := LoadPublisher([]string{key, allow})
	if err != nil {
		t.Fatal(err)
	}
	if table, err := p.Portals(); err != nil || table.ShortKeys() != 0 {
		t.Errorf("%v, %d short keys, want none", err, table.ShortKeys())
	}
}

// TestPublishedKeys: the keys that stand in other people's configurations are never accepted.
func TestPublishedKeys(t *testing.T) {
	for _, c := range []struct{ key, where string }{
		{"testtesttest", "bitrixdock"},
		{"IMbEDEnTANDiSPATERSIVeRptUGht", "rmn-lux/bitrix-push-server"},
		{"CHANGE_SECURITY_KEY_HERE", "bitrix-tools/env-docker"},
		{"u9kqCo7qhKIQ8RML9xUGNmcZLVWmS8OsR2UN9jsZuaCY3aqPKGENRWmA36f9r47FHnqXlKuMvgsl0hnft7qCAN8iXHw94nHS4D6dxA07BX1lUjwuMJ0t73Z9wJY25Mpu",
			"gromdron/bitrix-push-workspace"},
	} {
		file, _ := writePortals(t, `{"portals": [{"keys": ["0123456789abcdef", "`+c.key+`"]}]}`)
		for _, environ := range []string{"PUSHGATE_KEYS=0123456789abcdef," + c.key, file} {
			_, err := LoadEdge([]string{environ, "PUSHGATE_ALLOW_SHORT_KEYS=true"})
			checkFault(t, environ, err, "key 2 is "+c.key[:min(len(c.key), 32)]+", ")
			if err == nil || !strings.Contains(err.Error(), c.where) || !strings.Contains(err.Error(), "signature_key") {
				t.Errorf("%s: %v", c.key, err)
			}
		}
	}
}
