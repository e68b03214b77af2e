package proto_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

func TestCompose(t *testing.T) {
	const plain = `{"module_id":"im", "command":"x","params":{"a":1,"b":2},"extra":{}}`
	for name, c := range map[string]struct {
		body, users, dictionary string
		want                    string
		personal                []string
		err                     error
	}{
		"nothing to merge":           {plain, "", "", plain, nil, nil},
		"what PHP calls empty":       {plain, "[]", "[]", plain, nil, nil},
		"null":                       {plain, "null", " null", plain, nil, nil},
		"a dictionary":               {plain, "", `{"b":3,"c":4}`, `{"module_id":"im","command":"x","params":{"a":1,"b":3,"c":4},"extra":{}}`, nil, nil},
		"params that PHP left empty": {`{"params":[]}`, "", `{"c":4}`, `{"params":{"c":4}}`, nil, nil},
		"no params":                  {`{"command":"x"}`, "", `{"c":4}`, `{"command":"x","params":{"c":4}}`, nil, nil},
		"users, by their number":     {`{"params":[]}`, `{"10":{"p":1},"9":{"p":2}}`, "", `{"params":{}}`, []string{`9 {"p":2}`, `10 {"p":1}`}, nil},
		"the dictionary comes last":  {`{"params":{}}`, `{"5":{"p":1,"q":2},"6":{"p":1}}`, `{"p":3}`, `{"params":{"p":3}}`, []string{`5 {"q":2}`}, nil},
		"nobody's":                   {plain, `{"0":{"p":1},"-1":{"p":1},"x":{"p":1},"5":[],"6":{},"7":3}`, "", plain, nil, nil},
		"the last of one name":       {`{"params":{"a":1},"params":{"a":2}}`, `{"5":{"p":1},"5":{"p":2}}`, `{}`, `{"params":{"a":2}}`, []string{`5 {"p":2}`}, nil},
		"not another case's":         {`{"Params":{"a":1},"params":{}}`, "", `{"c":1}`, `{"Params":{"a":1},"params":{"c":1}}`, nil, nil},
		"a body that is a list":      {`[]`, "", "", "", nil, proto.ErrBody},
		"no body":                    {"", "", "", "", nil, proto.ErrBody},
		"user_params of no sense":    {plain, "7", "", "", nil, proto.ErrUserParams},
		"a dictionary of no sense":   {plain, "", `"x"`, "", nil, proto.ErrDictionary},
	} {
		body, personal, err := proto.Compose(json.RawMessage(c.body), json.RawMessage(c.users), json.RawMessage(c.dictionary))
		if string(body) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s, %v; want %s", name, body, err, c.want)
		}
		var got []string
		for _, p := range personal {
			got = append(got, fmt.Sprint(p.User, " ", string(p.Params)))
		}
		if diff := testkit.Diff(c.personal, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestObject(t *testing.T) {
	o, ok := proto.ParseObject([]byte(" \n{\"b\": [1, 2],\"\\u0061<\":\"x\\n\",\"c\":{},\"b\":null} "))
	if !ok || string(o.Append([]byte("x"))) != `x{"b":null,"a<":"x\n","c":{}}` {
		t.Errorf("%s, %t", o.Append(nil), ok)
	}
	if o.String("a<") != "x\n" || o.String("b") != "" || o.String("none") != "" || o.Get("none") != nil {
		t.Error("wrong values")
	}
	o.Delete("none")
	o.Delete("a<")
	o.Set("c", json.RawMessage("1"))
	o.Set("d", json.RawMessage("2"))
	if got := string(o.Append(nil)); got != `{"b":null,"c":1,"d":2}` {
		t.Error(got)
	}
	for _, bad := range []string{"", "[]", "{", "{}{}", "{}x", "null", `"{}"`, `{"a":1,}`, "{a:1}"} {
		if o, ok := proto.ParseObject([]byte(bad)); ok {
			t.Errorf("%q is read as %s", bad, o.Append(nil))
		}
	}
}

// FuzzObject: exactly objects are accepted, and an object that is written again means the same.
func FuzzObject(f *testing.F) {
	for _, body := range vectors.Bodies {
		f.Add(body)
	}
	f.Add(`{"a":{"a":[{}]},"A":1,"a":"\ud800"}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := proto.ParseObject([]byte(text))
		var want map[string]any
		if isObject := json.Unmarshal([]byte(text), &want) == nil && want != nil; ok != isObject {
			t.Fatalf("read = %t, an object = %t", ok, isObject)
		}
		if !ok {
			return
		}
		var got map[string]any
		if err := json.Unmarshal(o.Append(nil), &got); err != nil {
			t.Fatal(err)
		}
		if diff := testkit.Diff(want, got); diff != "" {
			t.Errorf("%s", diff)
		}
		if strings.Count(text, `"`) == 0 && len(o) > 0 {
			t.Error("members out of nothing")
		}
	})
}
