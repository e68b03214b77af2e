package policy_test

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/policy"
)

func TestTTLRules(t *testing.T) {
	const example = "im_startWriting=2m, online_*=2m,im_*=1h,*=12h"
	for _, c := range []struct {
		rules, typ   string
		expiry, want time.Duration
	}{
		{"", "im_message", 0, 24 * time.Hour},
		{"", "im_message", time.Second, time.Second},
		{"", "", 48 * time.Hour, 24 * time.Hour},
		{example, "im_startWriting", 0, 2 * time.Minute},
		{example, "im_startWriting", time.Hour, 2 * time.Minute},
		{example, "im_startWriting", time.Minute, time.Minute},
		{example, "im_startWritingX", 0, time.Hour},
		{example, "im_", 0, time.Hour},
		{example, "im", 0, 12 * time.Hour},
		{example, "online_userStatus", 0, 2 * time.Minute},
		{example, "online", 0, 12 * time.Hour},
		{example, "", 0, 12 * time.Hour},
		{example, "", 13 * time.Hour, 12 * time.Hour},
		{"im_*=1h,im_message=2m", "im_message", 0, time.Hour}, // the first one that matches
		{"im_message=2m", "other", 0, 24 * time.Hour},
		{"*=1ms", "x", 0, time.Millisecond},
		{"*=24h", "x", -time.Second, 24 * time.Hour},
	} {
		var rules policy.TTLRules
		if c.rules != "" {
			if err := rules.UnmarshalText([]byte(c.rules)); err != nil {
				t.Fatalf("%q: %v", c.rules, err)
			}
		}
		if got := rules.TTL(c.typ, c.expiry); got != c.want {
			t.Errorf("%q: type %q, expiry %v: lives %v, want %v", c.rules, c.typ, c.expiry, got, c.want)
		}
		if got, want := rules.String(), strings.ReplaceAll(c.rules, " ", ""); got != want {
			t.Errorf("%q is written as %q", c.rules, got)
		}
	}
	for _, bad := range []string{"", ",", "x", "x=", "=2m", "x=2", "x=-1m", "x=0", "x=999us", "x=25h", "a*b=1m", "**=1m", "x=1m,,y=1m", "x=1m,"} {
		var rules policy.TTLRules
		if err := rules.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
