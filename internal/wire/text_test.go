package wire_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/frame"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire"
)

// TestTextVia: a record has the channel through which its reader gets the message, and all readers
// of a channel get the same frame.
func TestTextVia(t *testing.T) {
	m := message(`{"a":1}`, 3)
	for via, id := range m.Receivers {
		f := wire.TextFrame(m, via)
		if !strings.Contains(string(f.Payload()), `"channel":"`+id.String()+`"`) {
			t.Errorf("via %d: %s", via, f.Payload())
		}
		if wire.TextFrame(m, via) != f {
			t.Errorf("via %d: framed twice", via)
		}
		if f.WebSocket()[0] != 0x80|frame.OpText {
			t.Errorf("via %d: opcode %x", via, f.WebSocket()[0])
		}
	}
	if got := m.Via([]channel.ID{{}, m.Receivers[2], m.Receivers[1]}); got != 1 {
		t.Errorf("Via = %d, want the first receiver that is watched", got)
	}
	if got := m.Via([]channel.ID{{}}); got != -1 {
		t.Errorf("Via of none = %d", got)
	}
	if allocs := testing.AllocsPerRun(100, func() { wire.TextFrame(m, 1) }); allocs != 0 {
		t.Errorf("a cached frame costs %v allocations", allocs)
	}
}

// TestTextConcurrently is for the race detector: sessions of one edge ask for the same frame at the
// same time.
func TestTextConcurrently(t *testing.T) {
	m := message(`{"a":1}`, 4)
	want := make([]string, len(m.Receivers))
	for via := range want {
		want[via] = string(wire.TextFrame(message(`{"a":1}`, 4), via).Payload())
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			via := i % len(want)
			if got := string(wire.TextFrame(m, via).Payload()); got != want[via] {
				t.Errorf("via %d: %s", via, got)
			}
		})
	}
	wg.Wait()
}

// record is the clients' regular expression. Its dot matches none of the four line terminators of
// JavaScript.
var record = regexp.MustCompile("#!NGINXNMS!#([^\n\r\u2028\u2029]*?)#!NGINXNME!#")

// FuzzTextFrame: the clients' expression finds what was framed, also with several records in one
// frame.
func FuzzTextFrame(f *testing.F) {
	for _, body := range vectors.Bodies {
		f.Add([]byte(body), []byte(`{"b":2}`), uint64(1))
	}
	f.Fuzz(func(t *testing.T, one, two []byte, sequence uint64) {
		var all []byte
		var want []string
		for _, body := range [][]byte{one, two, one} {
			checked, _, err := proto.CheckBody(body)
			if err != nil {
				return
			}
			m := message(string(checked), 1)
			m.ID.Sequence = sequence % 1e16
			payload := wire.TextFrame(m, 0).Payload()
			if got := wire.JSONFrame(m, 0).Payload(); !json.Valid(got) {
				t.Errorf("JSON: %q", got)
			}
			if !json.Valid(checked) {
				if n := len(record.FindAll(payload, -1)); n > 1 {
					t.Errorf("%d records of one body: %q", n, payload)
				}
				continue
			}
			all = append(all, payload...)
			want = append(want, string(checked))
		}
		got := record.FindAllSubmatch(all, -1)
		if len(got) != len(want) {
			t.Fatalf("%d records, want %d: %q", len(got), len(want), all)
		}
		for i, match := range got {
			var fields struct {
				MID  string          `json:"mid"`
				Text json.RawMessage `json:"text"`
			}
			if err := json.Unmarshal(match[1], &fields); err != nil {
				t.Fatalf("%v: %q", err, match[1])
			}
			if got := strings.TrimSpace(want[i]); string(fields.Text) != got {
				t.Errorf("body %q came as %q", want[i], fields.Text)
			}
			if id, err := proto.ParseID(fields.MID); err != nil || id.Sequence != sequence%1e16 {
				t.Errorf("mid %q", fields.MID)
			}
		}
	})
}

func message(body string, receivers int) *proto.Message {
	m := &proto.Message{
		ID: proto.ID{Epoch: 1795226210, Sequence: 7}, Body: []byte(body), Type: "im_message",
		Created: time.UnixMicro(1795226210759123), TTL: time.Hour,
	}
	for i := range receivers {
		m.Receivers = append(m.Receivers, testkit.Channel(byte(i+1)))
	}
	return m
}
