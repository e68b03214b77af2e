package phparray

import (
	"errors"
	"strings"
	"testing"
)

// write returns a value in a notation of its own: arrays in braces, expressions as a question mark.
func write(v Value) string {
	switch v.Kind {
	case Scalar:
		return v.Text
	case Unknown:
		return "?"
	}
	items := make([]string, len(v.Items))
	for i, item := range v.Items {
		items[i] = item.Key + "=" + write(item.Value)
	}
	return "{" + strings.Join(items, " ") + "}"
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"return [];", "{}"},
		{"return array();", "{}"},
		{"return Array ( 'a' => 'b', ) ; ?>", "{a=b}"},
		{"return ['a' => ['b' => [1, 2]], 'c'];", "{a={b={0=1 1=2}} 0=c}"},
		{"return [true, FALSE, null, -1.5, 1_000];", "{0=1 1= 2= 3=-1.5 4=1000}"},
		{`return ['it\'s', '\\n', '\n', "\n", "\$x"];`, "{0=it's 1=\\n 2=\\n 3=\n 4=$x}"},
		{`return ['a' => "b $c", 'd' => "\x41", 'e' => 'f' . 'g'];`, "{a=? d=? e=?}"},
		{"return ['a' => PHP_EOL, 'b' => getenv('x', [1]), 'c' => 1 + 2, 'd' => 'e'];", "{a=? b=? c=? d=e}"},
		{"return ['a' => fn($x) => [$x, ')'], 'b' => new X('}')];", "{a=? b=?}"},
		{"return [X::Y => 'a', 'b' => 'c'];", "{=? b=c}"},
		{"// 'x' => [\nreturn ['a' # ]\n => /* ; */ 'b'];", "{a=b}"},
		{"define('X', ['return', \"a;b\"]); if (1) { return 2; }\nreturn ['a' => 'b'];", "{a=b}"},
		{"return ['a' => 'b', 'a' => 'c'];", "{a=b a=c}"},
	} {
		v, err := Parse([]byte("<?php " + c.text))
		if got := write(v); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.text, got, err, c.want)
		}
	}
}

func TestLines(t *testing.T) {
	v, err := Parse([]byte("<?php\n\nreturn [\n 'a' => 1,\n 'pull' => [\n  'b' =>\n   'x\ny',\n  'c' => 1,\n ],\n 'a' => 2,\n];"))
	if err != nil {
		t.Fatal(err)
	}
	pull, ok := v.Get("pull")
	c, _ := pull.Value.Get("c")
	b, _ := pull.Value.Get("b")
	a, _ := v.Get("a")
	if !ok || pull.Line != 5 || b.Line != 6 || b.Value.Line != 7 || c.Line != 9 || a.Line != 11 || a.Value.Text != "2" {
		t.Errorf("pull %d, b %d and %d, c %d, the last a %d %q", pull.Line, b.Line, b.Value.Line, c.Line, a.Line, a.Value.Text)
	}
}

func TestIncomplete(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "line 1: there is no <?php",
		"<?php\n":                          "line 2: the file returns nothing",
		"<?php\nreturn [\n'a' => 'b',":     "line 3: an array does not end",
		"<?php return [\n'secret":          "line 2: a string does not end",
		"<?php return ['a' => 'b']":        "line 1: after the array there is no semicolon",
		"<?php return [ /* x":              "line 1: a comment does not end",
		"<?php return ['a' => f(":          "line 1: an expression does not end",
		"<?php return ['a' => <<<X\nX\n];": "line 1: a heredoc",
		"<?php return 1;":                  "does not return an array that is written out",
		"<?php return " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + ";": "too deep",
	} {
		_, err := Parse([]byte(text))
		if bad := (*Error)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("<?php\nreturn array('a' => [1, true, X::Y, \"b\\\"c\"], /* x */ 2 => -1.5);"))
	f.Add([]byte("<?php f(); return ['pull' => ['value' => ['nginx' => 'Y']]];"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Parse(text)
		if (err == nil) != (v.Kind == Array) {
			t.Errorf("%q: kind %v, %v", text, v.Kind, err)
		}
	})
}
