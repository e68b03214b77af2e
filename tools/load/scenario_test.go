//go:build linux

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// carryOut runs a scenario whose report must be correct.
func carryOut(t *testing.T, o Options) *Report {
	t.Helper()
	report, err := Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Correct(); err != nil {
		t.Errorf("%v\n%v", err, report.Faults)
	}
	return report
}

func TestScenarios(t *testing.T) {
	base := startPushgate(t)
	base.Connections, base.Duration = 40, 300*time.Millisecond
	for _, c := range []struct {
		scenario  string
		change    func(o *Options)
		delivered int // at least
	}{
		{"idle", func(o *Options) {}, 0},
		{"idle", func(o *Options) { o.Transport, o.Duration = Poll, 1500*time.Millisecond }, 0},
		{"connect", func(o *Options) {}, 0},
		{"fanout", func(o *Options) { o.Rate = 50 }, 15 * 40},
		{"fanout", func(o *Options) { o.Rate, o.Duration = FlatOut, time.Second }, 20 * 40},
		{"unicast", func(o *Options) { o.Rate = 200; o.Sign = true }, 60},
		{"unicast", func(o *Options) { o.Rate, o.Duration = FlatOut, time.Second }, 20},
		{"poll", func(o *Options) { o.Rate = 200 }, 60},
		{"return", func(o *Options) { o.Missed = 5 }, 40 * 5},
		{"return", func(o *Options) { o.Missed = 5; o.Transport = Poll }, 40 * 5},
		{"slow", func(o *Options) { o.Volume = 2e6; o.Slow = 4; o.Rate = 1000 }, 40 * 195},
		{"mixed", func(o *Options) { o.Rate = 200; o.Duration = time.Second }, 100},
		{"restart", func(o *Options) { o.Rate = 100; o.Duration = time.Second }, 50 * 40 / 2},
	} {
		o := base
		o.Scenario = c.scenario
		c.change(&o)
		t.Run(o.variant()+string(o.Transport), func(t *testing.T) {
			r := carryOut(t, o)
			if r.Delivered < c.delivered || r.Posted > r.Accepted || r.Connects < 40 {
				t.Errorf("%d delivered, want %d; %d of %d accepted; %d connects", r.Delivered, c.delivered, r.Accepted, r.Posted, r.Connects)
			}
			if c.delivered > 0 && o.Scenario != "return" && (r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.Max > 60_000) {
				t.Errorf("latency %+v", r.Latency)
			}
		})
	}
}

func TestForms(t *testing.T) {
	base := startPushgate(t)
	base.Connections, base.Duration, base.Rate, base.Missed = 10, 200*time.Millisecond, 100, 3
	for _, form := range Forms() {
		for _, transport := range []Transport{WebSocket, Poll} {
			for _, scenario := range []string{"unicast", "return"} {
				if form == SSE && transport == Poll {
					continue
				}
				t.Run(fmt.Sprint(form, transport, scenario), func(t *testing.T) {
					o := base
					o.Scenario, o.Form, o.Transport = scenario, form, transport
					if r := carryOut(t, o); r.Delivered < 20 {
						t.Errorf("%d delivered", r.Delivered)
					}
				})
			}
		}
	}
}

// Faults of a server must be reported, by kind and number.
func TestMisdeedsAreReported(t *testing.T) {
	every := func(k int, misdeed func(body []byte) [][]byte) func(int, []byte) [][]byte {
		return func(n int, body []byte) [][]byte {
			if n%k == 0 {
				return misdeed(body)
			}
			return [][]byte{body}
		}
	}
	var held []byte
	for _, c := range []struct {
		name    string
		misdeed func(n int, body []byte) [][]byte
		want    string
	}{
		{"good", every(1, func(b []byte) [][]byte { return [][]byte{b} }), ""},
		{"lossy", every(10, func([]byte) [][]byte { return [][]byte{} }), "8 lost"},
		{"doubling", every(10, func(b []byte) [][]byte { return [][]byte{b, b} }), "8 doubled"},
		{"swapping", func(n int, b []byte) [][]byte {
			switch n % 10 {
			case 4:
				held = bytes.Clone(b)
				return [][]byte{}
			case 5:
				return [][]byte{b, held}
			}
			return [][]byte{b}
		}, "8 out of order"},
		{"misdirecting", every(10, func(b []byte) [][]byte {
			other := bytes.Clone(b)
			mark{99, 1, 0}.put(other[bodyMark:])
			return [][]byte{b, other}
		}), "8 stray"},
		{"inventing", every(40, func(b []byte) [][]byte {
			other := bytes.Clone(b)
			mark{1, 1000, 0}.put(other[bodyMark:])
			return [][]byte{b, other}
		}), "2 stray"},
		{"damaging", every(10, func(b []byte) [][]byte { return [][]byte{bytes.Replace(b, []byte("~load:0"), []byte("~load:X"), 1)} }), "8 lost, 8 faults"},
		{"emptying", every(10, func(b []byte) [][]byte { return [][]byte{b, []byte("{}")} }), "8 faults"},
		{"telling of a gap", every(10, func(b []byte) [][]byte { return [][]byte{b, []byte(`{"module_id":"pushgate","command":"gap"}`)} }), ""},
		{"refusing", every(10, func([]byte) [][]byte { return nil }), ""},
		{"refusing all", every(1, func([]byte) [][]byte { return nil }), "no post was accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			_, o := startFake(t, c.misdeed)
			// Forty messages for one channel with two subscribers.
			o.Scenario, o.Connections, o.Rate, o.Duration = "fanout", 2, 200, 200*time.Millisecond
			report, err := Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := report.Correct(); err != nil {
				_, got, _ = strings.Cut(err.Error(), ": ")
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if gaps := 8 * strings.Count(c.name, "gap"); report.Gaps != gaps {
				t.Errorf("%d gaps, want %d", report.Gaps, gaps)
			}
		})
	}
}

func TestCutConnectionIsAFault(t *testing.T) {
	f, o := startFake(t, nil)
	f.mu.Lock()
	f.misdeed = func(n int, b []byte) [][]byte {
		if n == 20 {
			for _, all := range f.conns { // f.mu is held
				for _, c := range all {
					c.CloseNow()
				}
			}
		}
		return [][]byte{b}
	}
	f.mu.Unlock()
	o.Scenario, o.Connections, o.Rate, o.Duration = "fanout", 2, 200, 200*time.Millisecond
	report, err := Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.FaultCount < 2 || report.Lost < 2 || !strings.Contains(report.Faults[0], "a connection of a subscriber") {
		t.Errorf("%d faults: %v; %d lost", report.FaultCount, report.Faults, report.Lost)
	}
}

func TestWrongOptions(t *testing.T) {
	_, good := startFake(t, nil)
	good.Scenario = "fanout"
	for _, c := range []struct {
		change func(o *Options)
		want   string
	}{
		{func(o *Options) { o.Scenario = "fan" }, `unknown scenario "fan"`},
		{func(o *Options) { o.Peer = "nginx" }, `unknown peer "nginx"`},
		{func(o *Options) { o.Peer = Pushgate }, "signature key"},
		{func(o *Options) { o.Form = Protobuf }, "nchan has the forms"},
		{func(o *Options) { o.Form = SSE; o.Transport = Poll }, "cannot be polled"},
		{func(o *Options) { o.Scenario = "mixed" }, "several channels"},
		{func(o *Options) { o.Peer = Centrifugo; o.Form = SSE }, "centrifugo has the form"},
		{func(o *Options) { o.Peer = Centrifugo; o.Scenario = "poll" }, "no long poll"},
		{func(o *Options) { o.Peer = Centrifugo; o.Scenario = "mixed" }, "not implemented for centrifugo"},
		{func(o *Options) { o.Size = 10 }, "a body has at least"},
		{func(o *Options) { o.Slow = 1000 }, "one subscriber must read"},
		{func(o *Options) { o.Sub = nil }, "addresses to subscribe"},
		{func(o *Options) { o.Pub = []string{"http://127.0.0.1/pub"} }, "{channel}"},
		{func(o *Options) { o.Connections = 100_000_000 }, "--connections"},
		{func(o *Options) { o.PIDs = []int{1 << 30} }, "process 1073741824"},
	} {
		o := good
		c.change(&o)
		if _, err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestRunEnds(t *testing.T) {
	_, o := startFake(t, nil)
	o.Scenario = "idle"
	o.Connections = 2
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, o, nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("%v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	o := Options{Scenario: "connect", Peer: Nchan, Connections: 2, Sub: []string{closedPort(t) + "/{channel}"}, Pub: []string{closedPort(t) + "/{channel}"}}
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, o, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

func TestReportsArePages(t *testing.T) {
	base := startPushgate(t)
	base.Scenario, base.Connections, base.Duration, base.Rate = "unicast", 5, 1200*time.Millisecond, 100
	base.Label = "<b>&"
	var progress, table, page bytes.Buffer
	report, err := Run(t.Context(), base, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(progress.String(), "5 connections") {
		t.Errorf("progress %q", progress.String())
	}
	report.Write(&table)
	if !strings.Contains(table.String(), "0 lost, 0 doubled, 0 out of order") {
		t.Errorf("table %s", table.String())
	}
	line, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	reports, err := ReadReports(bytes.NewReader(append(append(line, '\n'), line...)))
	if err != nil || len(reports) != 2 || reports[1].Latency != report.Latency {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	for len(reports[0].Timeline) < 3 {
		reports[0].Timeline = append(reports[0].Timeline, Sample{At: float64(len(reports[0].Timeline) + 1), P50: 1, P99: 2, Memory: 1e6, Posts: 10, Deliveries: 20, Server: 1})
	}
	if err := WritePage(&page, reports); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<b>&", "http:", "https:", "NaN", "src=", "ZgotmplZ"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(page.String(), "<polyline"); n < 6 {
		t.Errorf("%d curves", n)
	}
}
