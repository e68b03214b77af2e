package shell

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

func sample(body string) Message {
	life, left := 24*time.Hour, 90*time.Minute+5*time.Second
	return Message{Time: time.Date(2026, 11, 28, 19, 4, 5, 6e6, time.UTC), MID: "17958944790000000000000001", Type: "im_message", Channel: "6b1f0c…",
		Sender: portalSender, Size: len(body), Body: []byte(body), Life: &life, Left: &left}
}

func printed(t *testing.T, p Printer, m Message) string {
	t.Helper()
	var out strings.Builder
	p.Out, p.now = &out, func() time.Time { return m.Time }
	if err := p.Print([]Message{m}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPrint(t *testing.T) {
	m := sample(`{"a":1}`)
	want := m.Time.Local().Format("15:04:05.000") + `  17958944790000000000000001  im_message  6b1f0c…  portal  7 B  1h30m5s of 24h left  {"a":1}` + "\n"
	if got := printed(t, Printer{}, m); got != want {
		t.Errorf("%q", got)
	}
	want = `{"time":"2026-11-28T19:04:05.006Z","mid":"17958944790000000000000001","type":"im_message","channel":"6b1f0c…","sender":"portal","size":7,` +
		`"life_s":86400,"left_s":5405,"body":{"a":1}}` + "\n"
	if got := printed(t, Printer{JSON: true, Color: true}, m); got != want {
		t.Errorf("%q", got)
	}
	m.Body, m.Life, m.Left = nil, nil, nil
	if got := printed(t, Printer{JSON: true}, m); strings.Contains(got, "body") || strings.Contains(got, "_s") {
		t.Errorf("%q", got)
	}
	if got := printed(t, Printer{Color: true}, m); !strings.Contains(got, "\x1b[36m17958944790000000000000001\x1b[0m") {
		t.Errorf("%q", got)
	}
}

// TestPrintEscapes: whatever a message has in it, the terminal gets one line without control
// characters, and programs get the same value in JSON.
func TestPrintEscapes(t *testing.T) {
	for _, body := range []string{
		"{\"a\":\"\u009b31m \x7f \u202e \U000e0041 \u2028\"}", "\x1b]0;title\x07\nnext line", "{\n\"a\":\r\n1}", "\xff\xfe", `"\u001b[2J"`, "é 😀 \u200b",
	} {
		m := sample(body)
		m.Type, m.Channel, m.Sender = "t\x1b[31m", "c\n", "s\u202e"
		for _, p := range []Printer{{}, {JSON: true}} {
			text := printed(t, p, m)
			line, ended := strings.CutSuffix(text, "\n")
			if bad := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); bad >= 0 || !ended {
				t.Errorf("%q has %q at %d", text, line[max(bad, 0):], bad)
			}
			if !p.JSON {
				continue
			}
			var got, want struct{ Body any }
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if want.Body = any(strings.ToValidUTF8(body, "\uFFFD")); json.Valid([]byte(body)) {
				if err := json.Unmarshal([]byte(`{"Body":`+body+`}`), &want); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := encode(t, got.Body), encode(t, want.Body); a != b {
				t.Errorf("%q became %s, want %s", body, a, b)
			}
		}
	}
	if got := Clean("a\x1b[2J\n" + strings.Repeat("x", 1000)); strings.ContainsAny(got, "\x1b\n") || len(got) > 400 {
		t.Errorf("%q", got)
	}
}

func encode(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
