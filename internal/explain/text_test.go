package explain

import (
	"strings"
	"testing"
	"unicode"

	"pushgate/internal/trail"
)

// TestTextObeysNobody: whatever other processes answer, a terminal gets lines of plain characters.
func TestTextObeysNobody(t *testing.T) {
	const evil = "a\x1b[2J\r\n\u202eb\u009b"
	r := Report{Query: evil, Kind: KindUser, Portal: evil,
		Message:  &Message{State: evil, Type: evil, Rule: evil, Life: 1, Created: 1, Accepted: []Accepted{{Process: evil, Outcome: trail.Outcome(evil)}}},
		Sessions: []Session{{Process: evil, Transport: evil, Portal: evil, Reason: evil, Ended: 1}},
		Channels: []Channel{{Channel: evil, Posts: []Accepted{{Process: evil, Type: evil, Outcome: trail.Outcome(evil)}}}}}
	step := Step{Process: evil, Step: trail.Step{What: evil, Portal: evil, Detail: evil}}
	for _, lang := range []Lang{English, Russian} {
		var out strings.Builder
		if err := r.Text(&out, lang); err != nil {
			t.Fatal(err)
		}
		if err := step.Text(&out, lang); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "\r") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", line)
			}
			if strings.HasPrefix(line, "?b") {
				t.Errorf("%q is a line of somebody else", line)
			}
		}
	}
}
