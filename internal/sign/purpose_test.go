package sign_test

import (
	"strings"
	"testing"
)

// TestBodyThatIsSignedForOtherPurposes: no text that a portal signs for a client, or to ask a
// question, verifies as a body, in either generation of ids. What portals post does verify, and so
// does what only resembles those texts.
func TestBodyThatIsSignedForOtherPurposes(t *testing.T) {
	signer := newSigner(t, "sha256", "a key")
	signature := strings.Repeat("0f", 20)
	for _, c := range []struct {
		text           string
		body, question bool
	}{
		{hexID, false, true},
		{oldID, false, true},
		{strings.ToUpper(hexID), false, true},
		{hexID + ":" + otherID, false, true},
		{oldID + ":" + hexID, false, true},
		{"public:" + hexID, false, false},
		{"public:" + oldID, false, false},
		{hexID + "/" + otherID, false, true},
		{oldID + "/" + hexID, false, true},
		{hexID + ":" + otherID + "." + signature + "/" + otherID + "." + signature, false, true},
		{oldID + "." + signature, false, true},
		{"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI1In0", false, false},
		{"eyJ0eXAi-_.eyJz-_", false, false},
		{"pushgate-timestamp:1795226210\n" + hexID + "\nhello", false, false},

		{`{"module_id":"im","command":"message","params":{"id":"` + hexID + `"}}`, true, false},
		{`["` + hexID + `"]`, true, false},
		{"\n\x0a\x10" + hexID, true, false},
		{"hello", true, false},
		{"12345678901234567890123456789012345", true, false},
		{hexID + "0", true, false},
		{hexID[1:], true, false},
		{hexID + "\n", true, false},
		{hexID + "/", true, false},
		{hexID + ":", true, false},
		{"Public:" + hexID, true, false},
		{"eyJ0eXAi.", true, false},
		{".eyJ0eXAi", true, false},
		{"eyJ0.eyJz.x", true, false},
	} {
		if got := signer.VerifyBody([]byte(c.text), signer.SignBody([]byte(c.text))); got != c.body {
			t.Errorf("%q as a body: %v", c.text, got)
		}
		if got := signer.VerifyQuestion(c.text, signer.SignBody([]byte(c.text))); got != c.question {
			t.Errorf("%q as a question: %v", c.text, got)
		}
	}
}
