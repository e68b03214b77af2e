package handover

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

var (
	alice = testkit.Channel(1)
	bob   = testkit.Channel(2)

	full = Record{Portal: strings.Repeat("a", 32), Dialect: "rpc", Channels: []channel.ID{channel.ForUser(5), alice}, Public: bob, User: 5,
		Expires: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Cursor: proto.ID{Epoch: 1, Sequence: 2}, Statuses: []int64{6, 7}}
	least = Record{Dialect: "text", Channels: []channel.ID{alice}}
)

// again encodes and decodes a record.
func again(t testing.TB, r Record) (Record, error) {
	t.Helper()
	text, err := json.Marshal(message{Session: r.session()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m.Session.record()
}

func TestRecord(t *testing.T) {
	for _, r := range []Record{full, least} {
		got, err := again(t, r)
		if diff := testkit.Diff(r, got); err != nil || diff != "" {
			t.Errorf("%v:\n%s", err, diff)
		}
	}
}

// TestRecordOfAnOlderBuild: an older build lists the public id among the channels.
func TestRecordOfAnOlderBuild(t *testing.T) {
	r := Record{Dialect: "binary", Channels: []channel.ID{alice, bob}, Public: bob}
	got, err := again(t, r)
	r.Channels = []channel.ID{alice, channel.ForPublic(bob)}
	if diff := testkit.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if same, err := again(t, got); err != nil || testkit.Diff(got, same) != "" {
		t.Errorf("encoded again, it is %v, %v", same, err)
	}
}

// TestRecordsThatAreRefused: a record that is incomplete or has unknown fields is refused.
func TestRecordsThatAreRefused(t *testing.T) {
	text, err := json.Marshal(message{Session: full.session()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) {
		if _, err := decode(text[:n]); err == nil {
			t.Errorf("%d bytes of %d are accepted as a message", n, len(text))
		}
	}
	for _, change := range [][2]string{
		{`"user":5`, `"user":5,"mood":"good"`},
		{`"dialect"`, `"mood":1,"dialect"`},
		{`}}`, `}} {}`},
		{`"channels":[`, `"channels":[7,`},
		{`"user":5`, `"user":"5"`},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if _, err := decode([]byte(changed)); changed == string(text) || err == nil {
			t.Errorf("%s is accepted", changed)
		}
	}
	for name, change := range map[string]func(*session){
		"no channel":        func(s *session) { s.Channels = nil },
		"a channel twice":   func(s *session) { s.Channels = append(s.Channels, s.Channels[0]) },
		"no id":             func(s *session) { s.Channels[1] = s.Channels[1][1:] },
		"no public id":      func(s *session) { s.Public = "x" },
		"no cursor":         func(s *session) { s.Cursor = "" },
		"too many users":    func(s *session) { s.Statuses = make([]int64, maxListed+1) },
		"too many channels": func(s *session) { s.Channels = make([]string, maxListed+1) },
	} {
		s := full.session()
		change(s)
		if r, err := s.record(); err == nil {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// FuzzMessage: any input is refused, or is a message that stays the same when it is encoded and
// decoded.
func FuzzMessage(f *testing.F) {
	for _, m := range []message{{Version: version}, {Listeners: []string{"", "127.0.0.1:8010"}}, {Ready: true}, {Taken: true}, {Refused: "no"}, {Off: "no"},
		{Session: full.session()}, {Session: least.session()}} {
		text, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil || m.Session == nil {
			return
		}
		r, err := m.Session.record()
		if err != nil {
			return
		}
		same, err := again(t, r)
		if diff := testkit.Diff(r, same); err != nil || diff != "" {
			t.Errorf("%v:\n%s", err, diff)
		}
	})
}
