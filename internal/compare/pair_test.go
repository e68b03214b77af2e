package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// frame returns a frame of the text form with bodies, with ids from one on.
func frame(first int, bodies ...string) []byte {
	var b strings.Builder
	for i, body := range bodies {
		fmt.Fprintf(&b, `#!NGINXNMS!#{"id":%d,"mid":"%026d","channel":"-","tag":"759","time":"Sat, 21 Nov 2026 01:56:50 GMT","text":%s}#!NGINXNME!#`, first+i, first+i, body)
	}
	return []byte(b.String())
}

// numbered returns the body of a message.
func numbered(n string) string {
	return `{"module_id":"im","command":"message","params":{"n":"` + n + `"}}`
}

// bench is a pair under test, with a clock of its own.
type bench struct {
	*pair
	now time.Time
	out strings.Builder
}

const testPatience = 10 * time.Second

// newBench returns a pair whose sides are connected and whose comparison has begun.
func newBench() *bench {
	b := &bench{now: time.Unix(1_795_000_000, 0)}
	b.pair = &pair{name: "id 1", warmup: 2 * time.Second, patience: testPatience, report: &report{out: &b.out}}
	b.connected(sideA, true, b.now)
	b.connected(sideB, true, b.now)
	b.wait(2 * time.Second)
	return b
}

func (b *bench) wait(d time.Duration) {
	b.now = b.now.Add(d)
	b.settle(b.now)
}

// get has messages arrive at a side, each named by a letter.
func (b *bench) get(s side, letters string) {
	for _, letter := range letters {
		b.take(s, parse(frame(1, numbered(string(letter))), b.now), b.now)
	}
}

// found returns the counts of what was found, without zeros.
func (b *bench) found() string {
	n := b.report.result
	var parts []string
	for _, c := range []struct {
		name string
		n    int
	}{{"equal", n.Matched}, {"only A", n.Only[sideA]}, {"only B", n.Only[sideB]}, {"changed", n.Changed}, {"order", n.Order}, {"strays", n.Strays}, {"gaps", n.Gaps[sideA] + n.Gaps[sideB]}} {
		if c.n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.name, c.n))
		}
	}
	return strings.Join(parts, ", ")
}

// TestDifferences: what one side has and the other has not is found, whichever is first, and only
// after the time that its equal may take.
func TestDifferences(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"abc", "abc", "equal 3"},
		{"abcde", "abde", "equal 4, only A 1"},
		{"abde", "abcde", "equal 4, only B 1"},
		{"bcd", "abcd", "equal 3, only B 1"},
		{"abcd", "abc", "equal 3, only A 1"},
		{"abcd", "acbd", "equal 4, order 1"},
		{"abcd", "", "only A 4"},
		{"abXd", "abYd", "equal 3, changed 1"},
		{"aXcYe", "acZe", "equal 3, only A 1, changed 1"},
		{"abb", "ab", "equal 2, only A 1"}, // twice
		{"aab", "aba", "equal 3, order 1"},
		{"ab", "ba", "equal 2, order 1"},
	} {
		for _, turn := range []string{"A, B", "B, A", "in turns"} {
			b := newBench()
			switch turn {
			case "A, B":
				b.get(sideA, c.a)
				b.get(sideB, c.b)
			case "B, A":
				b.get(sideB, c.b)
				b.get(sideA, c.a)
			default:
				for i := range max(len(c.a), len(c.b)) {
					if i < len(c.a) {
						b.get(sideA, c.a[i:i+1])
					}
					if i < len(c.b) {
						b.get(sideB, c.b[i:i+1])
					}
				}
			}
			b.wait(testPatience - time.Millisecond)
			if early := b.report.result; early.Only != [2]int{} || early.Changed != 0 {
				t.Errorf("A %s, B %s, %s: found too early: %s", c.a, c.b, turn, b.found())
			}
			b.wait(time.Millisecond)
			if got := b.found(); turn != "in turns" && got != c.want || b.report.result.Differs() != (c.a != c.b) {
				t.Errorf("A %s, B %s, %s: %s, want %s", c.a, c.b, turn, got, c.want)
			}
		}
	}
}

// TestSameInAnyRhythm: two sides that get the same in the same order do not differ, however they
// lag, and whatever comes twice.
func TestSameInAnyRhythm(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := newBench()
		const letters = "abcdefgh"
		var text strings.Builder
		for range 200 {
			text.WriteByte(letters[random.IntN(len(letters))])
		}
		sent := [2]int{}
		for sent[0] < 200 || sent[1] < 200 {
			s := side(random.IntN(2))
			n := min(sent[s]+random.IntN(5), 200)
			b.get(s, text.String()[sent[s]:n])
			sent[s] = n
			b.wait(time.Duration(random.IntN(10)) * time.Millisecond)
		}
		b.wait(testPatience)
		if got := b.found(); got != "equal 200" {
			t.Fatalf("seed %d: %s\n%s", seed, got, &b.out)
		}
	}
}

// TestBeginning: what comes while the comparison begins, at one side only, is no difference. What
// comes then and has its equal later is equal.
func TestBeginning(t *testing.T) {
	b := &bench{now: time.Unix(1_795_000_000, 0)}
	b.pair = &pair{name: "id 1", warmup: 2 * time.Second, patience: testPatience, report: &report{out: &b.out}}
	b.connected(sideA, true, b.now)
	b.get(sideA, "a")
	b.connected(sideB, true, b.now)
	b.wait(time.Second)
	b.get(sideB, "b")
	b.get(sideA, "c")
	b.wait(time.Second)
	b.get(sideB, "cd")
	b.wait(testPatience)
	if got := b.found(); got != "equal 1, only B 1, strays 2" {
		t.Error(got)
	}
}

// TestDisconnectedSideGetsTime: while a side is not connected, nothing is overdue; it gets what it
// missed when it is back.
func TestDisconnectedSideGetsTime(t *testing.T) {
	b := newBench()
	b.connected(sideB, false, b.now)
	b.get(sideA, "abc")
	b.wait(10 * testPatience)
	b.connected(sideB, true, b.now)
	b.wait(testPatience - time.Second)
	b.get(sideB, "ac")
	b.wait(testPatience)
	if got := b.found(); got != "equal 2, only A 1" {
		t.Error(got)
	}
}

// TestEnd: what comes after the end of the comparison is no difference, and may be the equal of
// what came before.
func TestEnd(t *testing.T) {
	b := newBench()
	b.get(sideA, "ab")
	b.close()
	if b.idle() {
		t.Error("nothing waits")
	}
	b.get(sideB, "ac")
	b.get(sideA, "d")
	b.finish()
	if got := b.found(); got != "equal 1, only A 1" || !b.idle() {
		t.Error(got)
	}
}

// TestPendingIsBounded: a side that is ahead for ever does not fill the memory.
func TestPendingIsBounded(t *testing.T) {
	b := newBench()
	b.connected(sideB, false, b.now)
	for range maxPending + 5 {
		b.get(sideA, "x")
	}
	if n := len(b.pending[sideA]); n != maxPending {
		t.Errorf("%d wait", n)
	}
	large := `"` + strings.Repeat("x", 3<<20) + `"`
	for range 5 {
		b.take(sideA, parse(frame(1, large), b.now), b.now)
	}
	if b.bytes[sideA] > maxPendingBytes {
		t.Errorf("%d bytes wait", b.bytes[sideA])
	}
	for len(b.pending[sideA]) > 0 {
		b.mu.Lock()
		b.expire(sideA, 0)
		b.mu.Unlock()
	}
	if b.bytes[sideA] != 0 {
		t.Errorf("%d bytes of nothing", b.bytes[sideA])
	}
}

// TestGapNotes: pushgate's note of a gap is a finding, and no message.
func TestGapNotes(t *testing.T) {
	b := newBench()
	b.take(sideB, parse(frame(1, `{"module_id":"pushgate","command":"gap","params":{}}`), b.now), b.now)
	b.wait(testPatience)
	if got := b.found(); got != "gaps 1" || !b.report.result.Differs() {
		t.Error(got)
	}
}

// TestReportShowsNoText: lines name what differs by its type, size and time, not by its text.
func TestReportShowsNoText(t *testing.T) {
	b := newBench()
	b.take(sideA, parse(frame(7, `{"module_id":"im","command":"message","params":{"text":"private words"}}`, `"private words, too"`), b.now), b.now)
	b.take(sideB, parse(frame(9, `{"module_id":"im","command":"message","params":{"text":"privaTe words"}}`), b.now), b.now)
	b.wait(testPatience)
	b.report.end()
	text := b.out.String()
	if strings.Contains(text, "words") {
		t.Error(text)
	}
	for _, want := range []string{`id 1: changed from byte 61 on: at A "im_message", 72 bytes, mid 00000000000000000000000007`, "id 1: only at A: no JSON, 20 bytes, mid 00000000000000000000000008", "differences: only at A 1, only at B 0, changed 1, order 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestManyDifferencesAreCounted: the lines are bounded, the counts are not.
func TestManyDifferencesAreCounted(t *testing.T) {
	b := newBench()
	for n := range 1000 {
		b.take(sideA, parse(frame(n, fmt.Sprintf(`%d`, n)), b.now), b.now)
	}
	b.wait(testPatience)
	if lines := strings.Count(b.out.String(), "\n"); lines != maxLines+1 || b.report.result.Only[sideA] != 1000 {
		t.Errorf("%d lines, %s", lines, b.found())
	}
}

// TestDelays: the time from A to B is shown, and is negative if B was first.
func TestDelays(t *testing.T) {
	b := newBench()
	b.get(sideA, "a")
	b.wait(30 * time.Millisecond)
	b.get(sideB, "a")
	if n := b.report.end(); n.Median != 30*time.Millisecond {
		t.Error(n.Median)
	}
	b = newBench()
	b.get(sideB, "a")
	b.wait(20 * time.Millisecond)
	b.get(sideA, "a")
	if n := b.report.end(); n.Median != -20*time.Millisecond {
		t.Error(n.Median)
	}
}

// TestParse: records are taken apart as the known clients do, and bodies keep their bytes.
func TestParse(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		payload string
		want    []string
	}{
		{string(frame(1, `{"a": 1 }`, ` "x"`, "0123456789abcdef")), []string{`{"a": 1 }`, ` "x"`, "0123456789abcdef"}},
		{string(frame(1, `{"text":"\"text\":"}`)), []string{`{"text":"\"text\":"}`}},
		{"", nil}, {"ping", nil}, {"#!NGINXNMS!#{}#!NGINXNME!#", nil}, {"#!NGINXNMS!#", nil}, {"#!NGINXNME!##!NGINXNMS!#", nil},
		{`#!NGINXNMS!#{"id":1,"mid":"5","text":{}}#!NGINXNME!#trash` + string(frame(6, "{}")), []string{"{}", "{}"}},
	} {
		var got []string
		for _, r := range parse([]byte(c.payload), now) {
			got = append(got, string(r.body))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%q: %q, want %q", c.payload, got, c.want)
		}
	}
	if r := parse(frame(5, "{}"), now); r[0].mid != fmt.Sprintf("%026d", 5) || !r[0].at.Equal(now) {
		t.Errorf("%+v", r[0])
	}
}

// TestHostileMID: an id with which a server would fill the memory, or write to the terminal, counts
// as none.
func TestHostileMID(t *testing.T) {
	for _, mid := range []string{strings.Repeat("1", 1<<20), `\u001b[2J`, "1 2", "\u202e1"} {
		records := parse([]byte(`#!NGINXNMS!#{"id":1,"mid":"`+mid+`","text":{}}#!NGINXNME!#`), time.Now())
		if len(records) != 1 || records[0].mid != "" {
			t.Errorf("%.20q: %+v", mid, records)
		}
	}
}

// FuzzParse: whatever a server sends is taken apart without harm.
func FuzzParse(f *testing.F) {
	f.Add(frame(1, "{}", `"x"`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, r := range parse(payload, time.Time{}) {
			r.isGap()
			describe(r)
		}
	})
}
