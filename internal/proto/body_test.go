package proto_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pushgate/internal/proto"
	"pushgate/internal/vectors"
)

const marker = "#!NGINXNM"

func TestCheckBody(t *testing.T) {
	for _, c := range []struct{ name, body, want, typ string }{
		{"a command", `{"module_id":"im","command":"startWriting","params":{}}`, `{"module_id":"im","command":"startWriting","params":{}}`, "im_startWriting"},
		{"its type is stripped", `{"module_id":"i-m","command":"a b.c"}`, `{"module_id":"i-m","command":"a b.c"}`, "im_abc"},
		{"no module", `{"command":"x"}`, `{"command":"x"}`, ""},
		{"no command", `{"module_id":"x"}`, `{"module_id":"x"}`, ""},
		{"a module that is no string", `{"module_id":5,"command":"x"}`, `{"module_id":5,"command":"x"}`, ""},
		{"a name that counts last", `{"module_id":"a","command":"x","command":"y"}`, `{"module_id":"a","command":"x","command":"y"}`, "a_y"},
		{"a name in other letters", `{"Module_id":"a","command":"x"}`, `{"Module_id":"a","command":"x"}`, ""},
		{"escaped names", `{"\u006dodule_id":"a","comman\u0064":"\u0078"}`, `{"\u006dodule_id":"a","comman\u0064":"\u0078"}`, "a_x"},
		{"names further in", `{"a":{"module_id":"a","command":"x"}}`, `{"a":{"module_id":"a","command":"x"}}`, ""},
		{"space around", " {\t\"command\" : \"x\" , \"module_id\":\"a\" } ", " {\t\"command\" : \"x\" , \"module_id\":\"a\" } ", "a_x"},
		{"broken lines", "{\n\"a\":\r\n1}\n", "{ \"a\":  1} ", ""},
		{"raw separators", "{\"a\":\"x\u2028\u2029\"}", `{"a":"x\u2028\u2029"}`, ""},
		{"escaped separators", `{"a":"\u2028\n"}`, `{"a":"\u2028\n"}`, ""},
		{"a marker", `{"a":"#!NGINXNMS!#"}`, `{"a":"\u0023!NGINXNMS!#"}`, ""},
		{"a marker after a backslash", `{"a":"\\#!NGINXNME!#"}`, `{"a":"\\\u0023!NGINXNME!#"}`, ""},
		{"not UTF-8", "{\"a\":\"\xff\"}", "{\"a\":\"\ufffd\"}", ""},
		{"the self-test's", "5f4dcc3b5aa765d61d8327deb882cf99", "5f4dcc3b5aa765d61d8327deb882cf99", ""},
		{"text of lines", "two\nlines", "two\nlines", ""},
		{"not JSON, not UTF-8", "a\xffb", "a\ufffdb", ""},
		{"two values", `{"module_id":"a","command":"b"}{}`, `{"module_id":"a","command":"b"}{}`, ""},
		{"an array", "[\n1]", `[ 1]`, ""},
		{"a string with a marker", `"#!NGINXNMS!#"`, `"\u0023!NGINXNMS!#"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := []byte(c.body)
			got, typ, err := proto.CheckBody(body)
			if err != nil || string(got) != c.want || typ != c.typ {
				t.Errorf("CheckBody = %q, %q, %v; want %q, %q", got, typ, err, c.want, c.typ)
			}
			if string(body) != c.body {
				t.Errorf("the body was changed to %q", body)
			}
		})
	}
	for _, forged := range []string{"#!NGINXNMS!#", "a#!NGINXNME!#b", "#!NGINXNM"} {
		if got, _, err := proto.CheckBody([]byte(forged)); !errors.Is(err, proto.ErrFrameMarker) || got != nil {
			t.Errorf("CheckBody(%q) = %q, %v", forged, got, err)
		}
	}
}

func TestMessageType(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "im_message": "im_message", "im-mess.age ": "immessage", "ключ_x": "_x", "aZ09_": "aZ09_",
		strings.Repeat("x", 100): strings.Repeat("x", proto.MaxType),
	} {
		if got := proto.MessageType(s); got != want {
			t.Errorf("MessageType(%q) = %q, want %q", s, got, want)
		}
	}
}

// FuzzCheckBody: an accepted body harms no reader, and means what was published.
func FuzzCheckBody(f *testing.F) {
	for _, body := range vectors.Bodies {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		checked, typ, err := proto.CheckBody(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		valid := bytes.ToValidUTF8(before, []byte("\ufffd"))
		if err != nil {
			if json.Valid(valid) || !bytes.Contains(valid, []byte(marker)) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !utf8.Valid(checked) {
			t.Error("not UTF-8")
		}
		if bytes.Contains(checked, []byte(marker)) {
			t.Error("holds a marker")
		}
		if len(typ) > proto.MaxType || proto.MessageType(typ) != typ {
			t.Errorf("type %q", typ)
		}
		if !json.Valid(valid) {
			if !bytes.Equal(valid, checked) || typ != "" {
				t.Errorf("a body that is not JSON became %q of type %q", checked, typ)
			}
			return
		}
		if o, ok := proto.ParseObject(valid); ok {
			module, command := o.String("module_id"), o.String("command")
			if want := proto.MessageType(module + "_" + command); module != "" && command != "" && typ != want {
				t.Errorf("type %q, want %q", typ, want)
			}
		}
		if bytes.ContainsAny(checked, "\r\n\u2028\u2029") {
			t.Errorf("more than one line: %q", checked)
		}
		if want, got := decode(t, valid), decode(t, checked); !reflect.DeepEqual(want, got) {
			t.Errorf("means %v, was %v", got, want)
		}
		if again, _, err := proto.CheckBody(checked); err != nil || !bytes.Equal(again, checked) {
			t.Errorf("checked again: %q, %v", again, err)
		}
	})
}

func decode(t *testing.T, body []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	return v
}
