package proto

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
)

// decodeObject does the same as ParseObject, with the library's decoder alone.
func decodeObject(text []byte) (o Object, ok bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	_, err := d.Token()
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
			o.Set(name.(string), value)
		}
	}
	return o, err == nil
}

var objects = []string{
	`{}`, ` { } `, `{"a":1}`, "\n{\t\"a\" :\r[ 1 , {\"b\":\"]}\"} ] , \"c\":\"x\\\"\\\\\" }\n", `{"a":-1.5e+3,"b":true,"c":null,"d":{}}`,
	`{"a":1,"b":2,"a":3}`, `{"":"","\u0061":1,"a":2}`, `{"\ud800":1,"x":"\ud800"}`, "{\"\xff\":\"\xff\"}", `{"a":"\\\\"}`, `{"a":"\\\""}`, `{"[":"{"}`,
	`[]`, `null`, `"{}"`, `{"a"}`, `{"a":1}}`, `{"a":1,}`, `{,}`, `{`, ``, `{"a":1} x`, `{"a":[[[[]]],{}]}`,
	`{"a":0,` + strings.Repeat(`"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0,"k":1,"l":2,"m":3,"n":4,"o":5,"p":6,"q":7,"r":8,`, 2) + `"a":9}`,
	`{"a":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`,
}

func checkObject(t *testing.T, text []byte) {
	t.Helper()
	before := bytes.Clone(text)
	got, ok := ParseObject(text)
	want, wantOK := decodeObject(text)
	if ok != wantOK || len(got) != len(want) {
		t.Fatalf("%q: %q %v, want %q %v", text, got, ok, want, wantOK)
	}
	for i := range got {
		if got[i].Name != want[i].Name || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Errorf("%q: member %q %q, want %q %q", text, got[i].Name, got[i].Value, want[i].Name, want[i].Value)
		}
	}
	for i := range text { // the result must not change with text
		text[i] = 'x'
	}
	if ok {
		for i := range got {
			if !bytes.Equal(got[i].Value, want[i].Value) {
				t.Errorf("%q: a value shares the memory of the text", before)
			}
		}
	}
}

func TestParseObject(t *testing.T) {
	for _, text := range objects {
		checkObject(t, []byte(text))
	}
}

func FuzzParseObject(f *testing.F) {
	for _, text := range objects {
		if len(text) < 1000 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(checkObject)
}

// TestParseLargeObject: a client can send as many members as fit into a frame. They must not keep a
// processor busy.
func TestParseLargeObject(t *testing.T) {
	text := []byte{'{'}
	for n := range 100_000 {
		text = strconv.AppendInt(append(text, '"'), int64(n), 36)
		text = append(text, `":1,`...)
	}
	text = append(text, `"0":2}`...)
	start := time.Now()
	o, ok := ParseObject(text)
	if took := time.Since(start); !ok || len(o) != 100_000 || string(o[0].Value) != "2" || took > 10*time.Second {
		t.Errorf("%d members after %v", len(o), took)
	}
}
