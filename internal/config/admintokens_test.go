package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestAdminTokens: a wrong token is refused by the name of its owner, and never shown.
func TestAdminTokens(t *testing.T) {
	e, err := LoadEdge([]string{key, "PUSHGATE_ADMIN_TOKENS=vera:view:secret:of:vera:0123, ivan@example.com:act:SecretOfIvan+/=9876"})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.AdminTokens) != 2 || e.AdminTokens[0].Secret != "secret:of:vera:0123" || e.AdminTokens[0].Act || !e.AdminTokens[1].Act {
		t.Errorf("%d tokens", len(e.AdminTokens))
	}
	encoded, _ := json.Marshal(e.AdminTokens)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", e.AdminTokens, e.AdminTokens, e.AdminTokens, e.AdminTokens, e.AdminTokens, e.AdminTokens),
		fmt.Sprintf("%v %+v %#v", e.AdminTokens[0], e.Common, e.AdminTokens[0]), e.AdminTokens.LogValue().String(), string(encoded)} {
		if strings.Contains(strings.ToLower(text), "secret") || !strings.Contains(text, "vera:view:redacted") {
			t.Errorf("shown: %s", text)
		}
	}
	for value, want := range map[string]string{
		"vera":                                                   "entry 1 is not NAME:ROLE:TOKEN",
		"TheSecret-0123456789":                                   "entry 1 is not NAME:ROLE:TOKEN",
		"a:view:TheSecret-012345,":                               "entry 2 is not NAME:ROLE:TOKEN",
		"a:view:TheSecret-012345,b:c":                            "entry 2 is not NAME:ROLE:TOKEN",
		"The/Secret:view:TheSecret-1":                            "the name of entry 1 is not",
		":view:TheSecret-0123456789":                             "the name of entry 1 is not",
		"vera:admin:TheSecret-012345":                            "the role of vera is neither view nor act",
		"vera:view:TheSecret-01234":                              "the token of vera has 15 bytes, fewer than 16",
		"vera:act:":                                              "the token of vera has 0 bytes",
		"vera:act:SSSSSSSSSSeeeeeeee":                            "the token of vera has fewer than 6 different characters",
		"vera:act:TheSecret 01234567":                            "the token of vera has a byte that is no visible character",
		"vera:act:CHANGE_SECURITY_KEY_HERE":                      "the token of vera is published as the place holder in",
		"a:act:TheSecret-0123456789,a:view:TheSecret-9876543210": "there are two tokens with the name a",
		"a:act:TheSecret-0123456789,b:view:TheSecret-0123456789": "a and b have the same token",
		"a:act:0123456789abcdef":                                 "the token of a is a signature key of the portal",
	} {
		_, err := LoadPublisher([]string{key, "PUSHGATE_ADMIN_TOKENS=" + value})
		checkFault(t, value, err, "PUSHGATE_ADMIN_TOKENS: "+want)
		if err != nil && (strings.Contains(err.Error(), "Secret") || strings.Contains(err.Error(), "0123456789abcdef")) {
			t.Errorf("%s: shown: %v", value, err)
		}
	}
}

// TestTokenInThePlaceOfItsNameWasShown: who mixed up the parts of an entry found the token in the
// error, which is in the log of the system.
func TestTokenInThePlaceOfItsNameWasShown(t *testing.T) {
	const secret = "0f1e2d3c4b5a69788796a5b4"
	for value, want := range map[string]string{
		secret + ":view:vera": "the token of entry 1 has 4 bytes",
		"a:act:TheSecret-0123456789," + secret + ":vera:view": "the role of entry 2 is neither view nor act",
		secret + ":act:SSSSSSSSSSeeeeeeee":                    "the token of entry 1 has fewer than",
		secret + ":act:CHANGE_SECURITY_KEY_HERE":              "the token of entry 1 is published",
		secret + ":act:The Secret-0123456789":                 "the token of entry 1 has a byte",
	} {
		_, err := LoadPublisher([]string{key, "PUSHGATE_ADMIN_TOKENS=" + value})
		checkFault(t, value, err, "PUSHGATE_ADMIN_TOKENS: "+want)
		if err != nil && strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("shown: %v", err)
		}
	}
}

// TestSettingsShowNoSecret: the running settings of every program have all its variables, and of no
// secret a part.
func TestSettingsShowNoSecret(t *testing.T) {
	environ := []string{"PUSHGATE_KEYS=SecretKey-0123456789,SecretKey-9876543210", "PUSHGATE_ADMIN_TOKENS=vera:view:SecretToken-0123456",
		"PUSHGATE_MIRROR_URL=http://me:SecretOfMirror@mirror.test", "PUSHGATE_REDIS_URL=rediss://SecretUser:SecretWord@redis.test:6380/3?key=/SecretPath&cert=/SecretPath",
		"PUSHGATE_HOST_ID=SecretHostID", "PUSHGATE_ORIGINS=a.test,b.test", "PUSHGATE_DRAIN=3s",
		"PUSHGATE_TRACES_ENDPOINT=https://traces.test", "PUSHGATE_TRACES_HEADERS=authorization=Bearer%20Secret,SecretName=x"}
	edge, err := LoadEdge(environ)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := LoadPublisher(environ)
	if err != nil {
		t.Fatal(err)
	}
	serve, err := LoadServe(environ)
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]any{"edge": edge, "publisher": publisher, "serve": serve} {
		settings := Settings(program)
		values := make(map[string]string)
		for _, s := range settings {
			values[s.Name] = s.Value
			if strings.Contains(s.Value, "Secret") || strings.Contains(s.Value, "0x") {
				t.Errorf("%s: %s is %s", name, s.Name, s.Value)
			}
		}
		for _, v := range Variables(name) {
			if _, known := values[v.Name]; !known {
				t.Errorf("%s: no %s", name, v.Name)
			}
		}
		for variable, want := range map[string]string{"KEYS": "2 redacted", "ADMIN_TOKENS": "vera:view:redacted", "REDIS_URL": "rediss://redacted@redis.test:6380/3",
			"DRAIN": "3s", "HOST_ID": "redacted", "CHANNEL_GRAMMAR": "2", "TTL_RULES": "im_startWriting=2m,online_*=2m,*=24h", "LOG_LEVEL": "info",
			"TRACES_ENDPOINT": "https://traces.test/v1/traces", "TRACES_HEADERS": "2 redacted", "TRACES_RATIO": "0.01"} {
			if got := values[Prefix+variable]; got != want {
				t.Errorf("%s: %s is %q, want %q", name, variable, got, want)
			}
		}
		if name != "publisher" && values[Prefix+"ORIGINS"] != "a.test,b.test" {
			t.Errorf("%s: origins %q", name, values[Prefix+"ORIGINS"])
		}
		if name != "edge" && values[Prefix+"PUBLISH_ALLOW"] != "127.0.0.0/8,::1/128" {
			t.Errorf("%s: networks %q", name, values[Prefix+"PUBLISH_ALLOW"])
		}
		if name != "edge" && (values[Prefix+"MIRROR_URL"] != "http://mirror.test" || !slices.ContainsFunc(settings, func(s Setting) bool { return s.Default != "" })) {
			t.Errorf("%s: %v", name, settings)
		}
	}
	broken := edge
	broken.RedisURL = "redis://Secret[/"
	if s := Settings(broken)[0]; s.Value != "redacted" {
		t.Errorf("%s: %s", s.Name, s.Value)
	}
}
