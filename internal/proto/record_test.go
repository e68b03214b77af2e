package proto_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

// fields are the parts of a message that its record holds.
type fields struct {
	ID        proto.ID
	Receivers []string
	Sender    proto.Sender
	Type      string
	Body      string
	Created   int64
	TTL       time.Duration
	Params    []string
	Trace     string
}

func fieldsOf(m *proto.Message) fields {
	f := fields{ID: m.ID, Sender: m.Sender, Type: m.Type, Body: string(m.Body), Created: m.Created.UnixMicro(), TTL: m.TTL}
	for _, id := range m.Receivers {
		f.Receivers = append(f.Receivers, id.String())
	}
	for _, p := range m.UserParams {
		f.Params = append(f.Params, fmt.Sprintf("%d: %s", p.User, p.Params))
	}
	if m.Trace != nil {
		f.Trace = fmt.Sprintf("%x-%x", m.Trace.ID, m.Trace.Span)
	}
	return f
}

func TestRecord(t *testing.T) {
	old := message("x", 2)
	old.Receivers = append(old.Receivers, testkit.ParseChannel("ABCdefGHIjklMNOpqrSTUvwxYZ012345"))
	transient := message("x", 1)
	transient.TTL = 0
	longest := message(strings.Repeat("b", 1<<16), proto.MaxReceivers)
	longest.Type, longest.TTL = strings.Repeat("t", proto.MaxType), proto.MaxTTL
	bare := &proto.Message{Created: time.Unix(0, 0)}
	users := message(`{"a":1}`, 1)
	users.Receivers = append(users.Receivers, channel.ForUser(5), channel.StatusOf(math.MaxInt64-1))
	users.UserParams = []proto.UserParams{{User: 5, Params: []byte(`{"p":1}`)}, {User: math.MaxInt64, Params: []byte(`{}`)}}
	client, oldClient, nobody, portal := message("x", 2), message("x", 2), message("x", 2), message("x", 2)
	client.Sender = proto.Sender{Type: proto.SenderClient, ID: testkit.Channel(9)}
	oldClient.Sender = proto.Sender{Type: proto.SenderClient, ID: old.Receivers[2]}
	nobody.Sender = proto.Sender{Type: proto.SenderClient}
	portal.Sender = proto.Sender{Type: proto.SenderBackend}
	portal.Receivers = append(portal.Receivers, channel.ForPublic(testkit.Channel(9)))
	for _, m := range []*proto.Message{client, oldClient, nobody} { // clients write to public ids
		for i, id := range m.Receivers {
			m.Receivers[i] = channel.ForPublic(id)
		}
	}
	for name, m := range map[string]*proto.Message{"for users": users, "client": client, "first generation client": oldClient, "client without id": nobody, "portal": portal,
		"ordinary": message(`{"a":1}`, 2), "first generation": old, "transient": transient, "longest": longest, "bare": bare} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			got, err := proto.DecodeRecord(m.ID, proto.AppendRecord(nil, m))
			if err != nil {
				t.Fatal(err)
			}
			if diff := testkit.Diff(fieldsOf(m), fieldsOf(got)); diff != "" {
				t.Errorf("%s", diff)
			}
			if got.Received.Before(before) {
				t.Error("received before it was decoded")
			}
			if got.Transient() != (name == "transient" || name == "bare") {
				t.Errorf("transient = %t", got.Transient())
			}
		})
	}
	if got := proto.AppendRecord([]byte("id"), transient); !strings.HasPrefix(string(got), "id\x01") {
		t.Errorf("not appended: %q", got)
	}
}

// TestRecordLimits: a record that is damaged or beyond a limit is refused, whatever size it claims.
func TestRecordLimits(t *testing.T) {
	good := proto.AppendRecord(nil, message("", 2))
	for n := range good {
		if _, err := proto.DecodeRecord(proto.ID{}, good[:n]); !errors.Is(err, proto.ErrRecord) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
	for name, beyond := range map[string]func(m *proto.Message){
		"type":      func(m *proto.Message) { m.Type = strings.Repeat("t", proto.MaxType+1) },
		"receivers": func(m *proto.Message) { m.Receivers = make([]channel.ID, proto.MaxReceivers+1) },
		"life":      func(m *proto.Message) { m.TTL = proto.MaxTTL + time.Millisecond },
		"users":     func(m *proto.Message) { m.UserParams = make([]proto.UserParams, proto.MaxUserParams+1) },
	} {
		m := message("x", 1)
		beyond(m)
		if _, err := proto.DecodeRecord(proto.ID{}, proto.AppendRecord(nil, m)); !errors.Is(err, proto.ErrRecord) {
			t.Errorf("%s beyond the limit: %v", name, err)
		}
	}
	old := message("x", 1)
	old.Receivers[0] = testkit.ParseChannel("ABCdefGHIjklMNOpqrSTUvwxYZ012345")
	many := message("x", 1)
	many.UserParams = []proto.UserParams{{User: 1, Params: []byte("{}")}}
	good = proto.AppendRecord(nil, many)
	good = good[:len(good)-len("x")]
	for n := range good {
		if _, err := proto.DecodeRecord(proto.ID{}, good[:n]); !errors.Is(err, proto.ErrRecord) {
			t.Errorf("params of users, cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
	letter := strings.Replace(string(proto.AppendRecord(nil, old)), "ABC", "A-C", 1)
	if _, err := proto.DecodeRecord(proto.ID{}, []byte(letter)); !errors.Is(err, proto.ErrRecord) {
		t.Errorf("a receiver that is no id: %v", err)
	}
	later := append([]byte{good[0], 1 << 7}, good[2:]...)
	if _, err := proto.DecodeRecord(proto.ID{}, later); !errors.Is(err, proto.ErrRecord) {
		t.Errorf("an unknown flag: %v", err)
	}
	client := message("body", 1)
	client.Sender = proto.Sender{Type: proto.SenderClient, ID: testkit.Channel(9)}
	whole := proto.AppendRecord(nil, client)
	for n := range len(whole) - len("body") {
		if _, err := proto.DecodeRecord(proto.ID{}, whole[:n]); !errors.Is(err, proto.ErrRecord) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	version := append([]byte{good[0] + 1}, good[1:]...)
	if _, err := proto.DecodeRecord(proto.ID{}, version); !errors.Is(err, proto.ErrRecord) || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
}

// TestOldRecord: a record of an earlier build is decoded with its old meaning.
func TestOldRecord(t *testing.T) {
	old := "\x01\x00\xb9\xd7\xe1\xac\xd6\xc1\x98\x03\x80\xdd\xdb\x01\x0aim_message\x01\x01" + strings.Repeat("\x00", 15) + `{"a":1}`
	m, err := proto.DecodeRecord(proto.ID{}, []byte(old))
	if err != nil || string(m.Body) != `{"a":1}` || m.Sender != (proto.Sender{}) || len(m.Receivers) != 1 || m.TTL != time.Hour {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestOldRecordOfAClient: in a record of an earlier build, the receivers of a client's message are
// plain ids, which mean public ones. Records are still written so, for that build to read.
func TestOldRecordOfAClient(t *testing.T) {
	old := message("x", 1)
	old.Receivers = append(old.Receivers, channel.ForUser(5))
	record := proto.AppendRecord(nil, old)
	record[1] |= 1 << 1 // the sender is a client
	m, err := proto.DecodeRecord(proto.ID{}, record)
	if err != nil || len(m.Receivers) != 2 || m.Receivers[0] != channel.ForPublic(old.Receivers[0]) || m.Receivers[1] != channel.ForUser(5) {
		t.Fatalf("%+v, %v", m, err)
	}
	if again := proto.AppendRecord(nil, m); !bytes.Equal(again, record) {
		t.Errorf("stored as %x, want %x", again, record)
	}
}

func TestCopyForOthers(t *testing.T) {
	m := message("x", 2)
	m.Sender = proto.Sender{Type: proto.SenderClient, ID: testkit.Channel(9)}
	m.Encodings.Store("x")
	got, want := fieldsOf(m.To(m.Receivers[1:])), fieldsOf(m)
	want.ID, want.Receivers = proto.ID{}, want.Receivers[1:]
	if diff := testkit.Diff(want, got); diff != "" {
		t.Errorf("%s", diff)
	}
}

func TestExpired(t *testing.T) {
	received := time.Now()
	m := &proto.Message{TTL: time.Minute, Received: received, Created: received.Add(-time.Hour)}
	for after, want := range map[time.Duration]bool{0: false, time.Minute: false, time.Minute + 1: true, -time.Hour: false} {
		if got := m.Expired(received.Add(after)); got != want {
			t.Errorf("expired %v after it was received: %t", after, got)
		}
	}
	if (&proto.Message{Received: received}).Expired(received.Add(time.Hour)) {
		t.Error("a transient message expires")
	}
}

// FuzzDecodeRecord: no input panics, and an accepted record that is written again means the same.
func FuzzDecodeRecord(f *testing.F) {
	for i, body := range vectors.Bodies {
		f.Add(proto.AppendRecord(nil, message(body, i%3)))
	}
	old := message("x", 1)
	old.Receivers[0] = testkit.ParseChannel("ABCdefGHIjklMNOpqrSTUvwxYZ012345")
	f.Add(proto.AppendRecord(nil, old))
	old.Receivers[0] = channel.ForUser(7)
	old.UserParams = []proto.UserParams{{User: 7, Params: []byte(`{"a":1}`)}}
	f.Add(proto.AppendRecord(nil, old))
	old.Trace = trace()
	f.Add(proto.AppendRecord(nil, old))
	f.Add([]byte("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, record []byte) {
		id := proto.ID{Epoch: 1, Sequence: 2}
		m, err := proto.DecodeRecord(id, record)
		if err != nil {
			if !errors.Is(err, proto.ErrRecord) || m != nil {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		if len(m.Receivers) > proto.MaxReceivers || len(m.Type) > proto.MaxType || m.TTL < 0 || m.TTL > proto.MaxTTL {
			t.Errorf("beyond the limits: %+v", fieldsOf(m))
		}
		if typ, ok := proto.RecordType(record[:min(len(record), proto.RecordHead)]); typ != m.Type || !ok {
			t.Errorf("the type is %q, %v, want %q", typ, ok, m.Type)
		}
		again, err := proto.DecodeRecord(id, proto.AppendRecord(nil, m))
		if err != nil {
			t.Fatalf("written back: %v", err)
		}
		if diff := testkit.Diff(fieldsOf(m), fieldsOf(again)); diff != "" {
			t.Errorf("written back (-first +again):\n%s", diff)
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
