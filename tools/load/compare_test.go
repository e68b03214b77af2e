package load

import (
	"bytes"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	goals, err := ReadGoals(strings.NewReader("# lines\nfan\tp50\t≤ 5\ttheirs 10\tfan-out: p50 ms\n" +
		"fan\tdeliveries\t≥ 1000\ttheirs 9000\tdeliveries/s\nidle\tbytes\t-\t-\tbytes each\nhalf\tp50\t≤ 5\ttheirs 10\talone\n"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(label, variant string, p50, deliveries float64, lost int) *Report {
		return &Report{Label: label, Variant: variant, Latency: Summary{P50: p50}, DeliveriesPerSecond: deliveries, Delivered: 10, Lost: lost}
	}
	var b bytes.Buffer
	Compare(&b, goals, []*Report{
		run("ours", "fan", 9, 500, 0), run("theirs", "fan", 7, 5000, 0), run("ours", "fan", 3, 600, 0), run("theirs", "fan", 8, 4000, 1), run("ours", "fan", 4, 700, 0),
		run("others", "fan", 5, 1200, 0), run("ours", "half", 100, 1, 0),
	})
	const want = `| | goal | ours | theirs | others | goal met | goal by its peer today | beside the best other |
|---|---|---|---|---|---|---|---|
| fan-out: p50 ms | ≤ 5 | 4 | 7.5 | 5 | yes | ≤ 3.75: no, 1.07 × | 0.8 × |
| deliveries/s | ≥ 1000 | 600 | 4500 | 1200 | no, 0.6 × | ≥ 500: yes | 7.5 × |
| alone | ≤ 5 | 100 | – | – | no, 20 × |  |  |

* **ours**: 40 deliveries in 4 runs: 0 lost, 0 doubled, 0 out of order, 0 stray; 0 other faults, 0 posts refused.
* **theirs**: 20 deliveries in 2 runs: 1 lost, 0 doubled, 0 out of order, 0 stray; 0 other faults, 0 posts refused.
* **others**: 10 deliveries in 1 runs: 0 lost, 0 doubled, 0 out of order, 0 stray; 0 other faults, 0 posts refused.
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	Compare(&b, []Goal{{Variant: "fan", Measure: "lost", Title: "lost"}}, []*Report{run("ours", "fan", 1, 1, 0), run("theirs", "fan", 1, 1, 7)})
	if table, _, _ := strings.Cut(b.String(), "\n\n"); table != "| | ours | theirs |\n|---|---|---|\n| lost | 0 | 7 |" {
		t.Errorf("without goals: %s", table)
	}
	for _, bad := range []string{"fan\tp50\t≤ 5\t-", "fan\tp51\t≤ 5\t-\tx", "fan\tp50\t≤ x\t-\tx", "fan\tp50\t< 5\t-\tx", "fan\tp50\t≤ 5\ta 0\tx", "fan\tp50\t≤ 5\ta b\tx"} {
		if _, err := ReadGoals(strings.NewReader(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
