package mirror

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// madeUp returns the nth channel.
func madeUp(n int) channel.ID { return channel.FromBytes([16]byte{byte(n >> 8), byte(n)}) }

// add puts a post with a name as its path, to channels; none: not known.
func (q *queue) add(name string, channels ...int) (dropped int) {
	return q.put(named(q.begin(), name, 0, channels...))
}

// named returns a post with a number, a name and an id.
func named(number uint64, name string, sequence uint64, channels ...int) *post {
	p := &post{url: &url.URL{Path: name}, header: http.Header{}, since: time.Now(), begun: number}
	if sequence > 0 {
		p.id = proto.ID{Epoch: 1, Sequence: sequence}
	}
	for _, n := range channels {
		p.channels = append(p.channels, madeUp(n))
	}
	return p
}

// names returns the names of posts.
func names(posts []*post) string {
	var names []string
	for _, p := range posts {
		names = append(names, p.url.Path)
	}
	return strings.Join(names, " ")
}

// takeAll takes what can be under way at the same time.
func (q *queue) takeAll() (posts []*post) {
	for p := q.take(); p != nil; p = q.take() {
		posts = append(posts, p)
	}
	return posts
}

// rounds takes all that can be taken of a queue, and returns the names: a line for what was under
// way at the same time.
func rounds(q *queue) string {
	var lines []string
	for round := q.takeAll(); round != nil; round = q.takeAll() {
		lines = append(lines, names(round))
		for _, p := range round {
			q.done(p)
		}
	}
	return strings.Join(lines, "\n")
}

// TestNoChannelIsUnderWayTwice: what goes to the same channel is not sent at the same time, and
// nothing passes an earlier post that it shares a channel with.
func TestNoChannelIsUnderWayTwice(t *testing.T) {
	q := newQueue(100, 1<<20, 4)
	for _, p := range []struct {
		name     string
		channels []int
	}{{"a", []int{1}}, {"b", []int{2}}, {"c", []int{3, 1}}, {"d", []int{1}}, {"e", []int{2}}, {"unknown", nil},
		{"f", []int{1}}, {"g", []int{2}}, {"h", []int{3}}, {"i", []int{4}}, {"j", []int{5}}} {
		q.add(p.name, p.channels...)
	}
	if got, want := rounds(q), "a b\nc\nd e\nunknown\nf g h i\nj"; got != want {
		t.Errorf("rounds:\n%s\nwant:\n%s", got, want)
	}
	if n, bytes, _ := q.state(); n != 0 || bytes != 0 || len(q.busy) != 0 || q.underWay != 0 {
		t.Errorf("%d posts and %d bytes are left, %d under way", n, bytes, q.underWay)
	}
	// One that takes long holds up only what comes after it.
	for _, p := range []struct {
		name    string
		channel int
	}{{"slow", 1}, {"a", 2}, {"b", 2}, {"c", 2}, {"behind", 1}, {"d", 2}} {
		q.add(p.name, p.channel)
	}
	slow := q.take()
	if got := rounds(q); got != "a\nb\nc" {
		t.Errorf("beside a slow one:\n%s", got)
	}
	q.done(slow)
	if got := rounds(q); got != "behind d" {
		t.Errorf("after a slow one:\n%s", got)
	}
}

// TestOrderIsThatOfTheLog: posts that are stored at the same time are answered in any order, and
// may take their time. They go out in the order of their ids, and none before an earlier one has
// ended.
func TestOrderIsThatOfTheLog(t *testing.T) {
	q := newQueue(100, 1<<20, 1)
	// Of another portal, say: it had ended before the others began.
	q.put(named(q.begin(), "9", 9, 1))
	numbers := make([]uint64, 6)
	for i := range numbers {
		numbers[i] = q.begin()
	}
	for i, id := range []uint64{3, 1, 5, 2} {
		q.put(named(numbers[i], fmt.Sprint(id), id, 1))
	}
	if got := rounds(q); got != "9" {
		t.Errorf("took %q while earlier ones may come", got)
	}
	later := q.begin()
	q.put(named(later, "7", 7, 1))
	q.put(named(numbers[4], "4", 4, 1))
	q.end(numbers[4])
	if got := rounds(q); got != "" {
		t.Errorf("took %q while an earlier one may come", got)
	}
	q.end(numbers[5]) // it was not stored
	if got, want := rounds(q), "1\n2\n3\n4\n5\n7"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if len(q.open) != 0 || q.ended != q.begun {
		t.Errorf("%d are open, %d of %d ended", len(q.open), q.ended, q.begun)
	}
}

// TestQueueIsBounded: a full queue drops what has waited longest, by number and by bytes; what is
// under way counts; what could never fit displaces nothing.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue(3, 10_000, 1)
	inside := func() string { return names(q.posts) }
	for i, name := range []string{"a", "b", "c", "d"} {
		if dropped := q.add(name, 1); dropped != max(0, i-2) {
			t.Errorf("%s: %d dropped", name, dropped)
		}
	}
	if inside() != "b c d" {
		t.Error("by number:", inside())
	}
	b := q.take()
	if dropped := q.add("e", 1); dropped != 1 || inside() != "d e" {
		t.Errorf("%d dropped beside one under way: %s", dropped, inside())
	}
	q.done(b)
	large := named(q.begin(), "large", 0, 1)
	large.body = make([]byte, 8_800) // with two others, more than there may be
	if dropped := q.put(large); dropped != 1 || inside() != "e large" {
		t.Errorf("by bytes: %d dropped: %s", dropped, inside())
	}
	huge := named(q.begin(), "huge", 0, 1)
	huge.body = make([]byte, 10_000)
	if dropped := q.put(huge); dropped != 1 || inside() != "e large" {
		t.Errorf("%d dropped for what does not fit: %s", dropped, inside())
	}
	if n, _, _ := q.state(); n != 2 {
		t.Errorf("%d posts", n)
	}
	if q.clear() != 2 {
		t.Error("not cleared")
	}
	if n, bytes, _ := q.state(); n != 0 || bytes != 0 {
		t.Errorf("%d posts and %d bytes are left", n, bytes)
	}
	if slices.ContainsFunc(q.posts, func(p *post) bool { return p != nil }) {
		t.Error("posts are kept")
	}
}
