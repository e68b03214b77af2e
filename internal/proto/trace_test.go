package proto_test

import (
	"bytes"
	"math"
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

func trace() *proto.Trace {
	return &proto.Trace{ID: [16]byte{0: 0xa1, 15: 0xa2}, Span: [8]byte{0: 0xb1, 7: 0xb2}}
}

// TestTraceInRecord: the trace of a sampled message comes back, with and without params of users,
// even of the user whose number marks it. Without a trace the record has not one byte more.
func TestTraceInRecord(t *testing.T) {
	own := proto.UserParams{User: math.MaxInt64, Params: []byte(`{"own":1}`)}
	for name, params := range map[string][]proto.UserParams{"alone": nil, "with params": {{User: 5, Params: []byte(`{}`)}}, "with the same user": {own}} {
		m := message("body", 2)
		m.UserParams = params
		plain := proto.AppendRecord(nil, m)
		m.Trace = new(proto.Trace) // not valid
		if got := proto.AppendRecord(nil, m); !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes without a trace, want %d", name, len(got), len(plain))
		}
		m.Trace = trace()
		got, err := proto.DecodeRecord(m.ID, proto.AppendRecord(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		if diff := testkit.Diff(fieldsOf(m), fieldsOf(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if size := got.Size(); size != m.Size() {
			t.Errorf("%s: size %d, want %d", name, size, m.Size())
		}
	}
	if copied := (&proto.Message{Trace: trace()}).To(nil); copied.Trace == nil {
		t.Error("a copy for other receivers has no trace")
	}
}

// TestOlderBuildsReadTracedRecords: what a sampled message adds to a record is, for builds that do
// not know traces, the params of one more user. The bytes are what such builds were seen to read.
func TestOlderBuildsReadTracedRecords(t *testing.T) {
	m := message("{}", 1)
	plain := proto.AppendRecord(nil, m)
	m.Trace = trace()
	want := bytes.Clone(plain[:len(plain)-len(m.Body)])
	want[1] |= 1 << 4 // there are params for single users
	want = append(want, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 25, 0)
	want = append(append(want, m.Trace.ID[:]...), m.Trace.Span[:]...)
	want = append(want, m.Body...)
	if got := proto.AppendRecord(nil, m); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestNoTrace: params of the marking user that are not a trace stay params.
func TestNoTrace(t *testing.T) {
	for name, params := range map[string]string{"other mark": "\x01" + string(make([]byte, 23)) + "x", "short": "\x00\x01\x02", "zero ids": string(make([]byte, 25)), "json": `{"a":"0123456789abcdef0"}`} {
		m := message("x", 1)
		m.UserParams = []proto.UserParams{{User: math.MaxInt64, Params: []byte(params)}}
		got, err := proto.DecodeRecord(m.ID, proto.AppendRecord(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		if diff := testkit.Diff(fieldsOf(m), fieldsOf(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
