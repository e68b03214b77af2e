package nginxconf

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// write returns directives in a notation of their own, each with its line.
func write(all []Directive) string {
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "%d:%s%q", d.Line, d.Name, d.Args)
		if d.Block != nil {
			b.WriteString("{" + write(d.Block) + "}")
		}
		b.WriteString(" ")
	}
	return strings.TrimSpace(b.String())
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"user a b; # c;\nd;", `1:user["a" "b"] 2:d[]`},
		{"http {\n server { listen 80; }\n}\n", `1:http[]{2:server[]{2:listen["80"]}}`},
		{`log_format x "a; {b}" 'c\'d';`, `1:log_format["x" "a; {b}" "c'd"]`},
		{"rewrite ^/a/(.*)$ /b/$1 break;", `1:rewrite["^/a/(.*)$" "/b/$1" "break"]`},
		{"set $a ${b}c;", `1:set["$a" "${b}c"]`},
		{"map $a $b { default x; '' \"\"; }\ny;", `1:map["$a" "$b"]{1:default["x"] 1:[""]} 2:y[]`},
		{"location ~* \"^/x{2}\" { }", `1:location["~*" "^/x{2}"]{}`},
		{"content_by_lua_block {\n if x then { } end\n}\nz;", `1:content_by_lua_block[] 4:z[]`},
		{"location ~ \\.php$ { a; }", `1:location["~" "\\.php$"]{1:a[]}`},
	} {
		all, err := Parse([]byte(c.text))
		if got := write(all); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.text, got, err, c.want)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for text, want := range map[string]string{
		"http {\n a;\n":           "line 3: the file ends inside",
		"a":                       "line 1: the file ends inside",
		"a;\n}":                   "line 2: a block is closed that is not open",
		"http { a }":              "line 1: a directive does not end in a semicolon",
		"a \n\"b":                 "line 2: a quotation mark is not closed",
		"x_by_lua_block { {\n }":  "line 1: a block does not end",
		strings.Repeat("a {", 70): "too deep",
	} {
		_, err := Parse([]byte(text))
		if bad := (*Error)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("http { a \"b\\\"c\" ${d} ; e { f; } x_by_lua_block { { } } }"))
	f.Add([]byte("server { location { } }"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}
