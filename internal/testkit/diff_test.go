package testkit

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

type inner struct {
	Name   string
	hidden [2]byte
}

type outer struct {
	List []inner
	Map  map[string]any
	At   time.Time
	Next *inner
}

func TestDiff(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name      string
		want, got any
		diff      string
	}{
		{"equal", outer{List: []inner{{Name: "a"}}, At: now}, outer{List: []inner{{Name: "a"}}, At: now.Round(0).UTC()}, ""},
		{"nil and empty", outer{Map: map[string]any{}}, outer{List: []inner{}}, ""},
		{"nothing at all", nil, nil, ""},
		{"text", "a", "b", `: got "b", want "a"`},
		{"types", 1, int64(1), ": got 1 (int64), want 1 (int)"},
		{"nothing there", nil, 1, ": got 1 (int), want nothing"},
		{"field", outer{Next: &inner{Name: "a"}}, outer{Next: &inner{Name: "b"}}, `Next.Name: got "b", want "a"`},
		{"hidden field", outer{List: []inner{{hidden: [2]byte{'x', 'y'}}}}, outer{List: []inner{{}}}, `List[0].hidden: got "\x00\x00", want "xy"`},
		{"nil pointer", outer{Next: &inner{}}, outer{}, "Next: got <nil> (*testkit.inner), want &{Name: hidden:[0 0]}"},
		{"missing element", []int{1, 2}, []int{1}, "[1]: got nothing, want 2 (int)"},
		{"another element", []int{1}, []int{1, 2}, "[1]: got 2 (int), want nothing"},
		{"keys", map[string]int{"a": 1}, map[string]int{"b": 1}, "[a]: got nothing, want 1 (int)\n[b]: got 1, want nothing"},
		{"in an interface", outer{Map: map[string]any{"k": 1.5}}, outer{Map: map[string]any{"k": "1.5"}}, "Map[k]: got 1.5 (string), want 1.5 (float64)"},
		{"one line of many", "a\nb\nc", "a\nB\nc", ` line 2: got "B", want "b"`},
		{"a line more", "a\nb\nc", "a\nb\nx\nc", `: got "x\nc", want "c"`},
		{"times", now, now.Add(1), ": got " + now.Add(1).String() + ", want " + now.String()},
		{"messages", wrapperspb.String("a"), wrapperspb.String("a"), ""},
	} {
		if got := Diff(c.want, c.got); got != c.diff || Equal(c.want, c.got) != (c.diff == "") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.diff)
		}
	}
	if got := Diff([]*wrapperspb.StringValue{wrapperspb.String("a")}, []*wrapperspb.StringValue{wrapperspb.String("b")}); got == "" {
		t.Error("messages that differ are equal")
	}
	if Equal(make([]int, 50), []int(nil)) {
		t.Error("fifty elements are none")
	}
	if Equal(func() {}, func() {}) {
		t.Error("functions are equal")
	}
}
