package tally_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// east is a zone whose midnight comes five hours before that of UTC.
var east = time.FixedZone("east", 5*3600)

var (
	limits = portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 101, Connections: 102, Posts: 7, Rate: 8}
	shown  = proto.StatsLimits{Payload: 1 << 20, Messages: 100, Channels: 101, Connections: 102}
)

func table(tb testing.TB, portals ...*portal.Portal) *portal.Table {
	tb.Helper()
	t, err := portal.NewTable(portals...)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := testkit.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func TestDayEndsAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tally.NewBook("one", limits, east)
		personal := table(t, &portal.Portal{Limits: limits})
		own := b.Of(portal.Default)
		today := func(what string, want proto.Daily) {
			t.Helper()
			check(t, what, own.Today(), want)
			check(t, what+", as a whole", b.Process(personal, nil).Daily, want)
		}
		midnight := time.Date(2000, 1, 2, 0, 0, 0, 0, east) // a bubble begins at midnight of UTC
		own.Request(tally.IncomingMessages)
		own.Message("im_message")
		given := own.Today()
		own.Request(tally.IncomingMessages)
		own.Message("im_message")
		check(t, "what was given", given, proto.Daily{Requests: proto.Counts{"incomingMessages": 1}, Messages: proto.Counts{"im_message": 1}})
		time.Sleep(time.Until(midnight) - time.Nanosecond)
		own.Message("im_message")
		first := proto.Daily{Requests: proto.Counts{"incomingMessages": 2}, Messages: proto.Counts{"im_message": 3}}
		today("before midnight", first)
		kept := own.Today()
		time.Sleep(time.Nanosecond)
		today("at midnight", proto.Daily{})
		own.Request(tally.ChannelStats)
		today("after it", proto.Daily{Requests: proto.Counts{"channelStats": 1}})
		check(t, "what was given yesterday", kept, first)
		time.Sleep(12 * time.Hour) // over the midnight of UTC
		own.Request(tally.ChannelStats)
		today("the same day", proto.Daily{Requests: proto.Counts{"channelStats": 2}})
		time.Sleep(365 * 24 * time.Hour)
		own.Message("x")
		today("a year later", proto.Daily{Messages: proto.Counts{"x": 1}})
	})
}

// TestNames: a type that does not match the original server's expression counts as unknown.
func TestNames(t *testing.T) {
	own := tally.NewBook("one", limits, east).Of("a")
	long := strings.Repeat("x", 32)
	for _, typ := range []string{"im_message", "*", "-", "A-Z_0*9", long, long + "x", "", "a.b", "ü", "a b", "unknown"} {
		own.Message(typ)
	}
	check(t, "types", own.Today().Messages, proto.Counts{"im_message": 1, "*": 1, "-": 1, "A-Z_0*9": 1, long: 1, "unknown": 6})
}

// TestNamesAreBounded: clients choose types freely, so the number of names that a process keeps is
// bounded, for each portal and in all.
func TestNamesAreBounded(t *testing.T) {
	b := tally.NewBook("one", limits, east)
	for _, name := range []string{"a", "b"} {
		for i := range 1000 {
			b.Of(name).Message(fmt.Sprint(name, i))
		}
		b.Of(name).Message(name + "0")
	}
	const most = 128
	for name, got := range map[string]proto.Counts{
		"a": b.Of("a").Today().Messages, "b": b.Of("b").Today().Messages,
		"all": b.Process(table(t, &portal.Portal{Limits: limits}), nil).Daily.Messages,
	} {
		var sum int64
		for _, n := range got {
			sum += n
		}
		want := int64(1001)
		if name == "all" {
			want *= 2
		} else if got[name+"0"] != 2 {
			t.Errorf("%s: %d of the first type, want 2", name, got[name+"0"])
		}
		if len(got) != most+1 || sum != want {
			t.Errorf("%s: %d names, %d messages; want %d, %d", name, len(got), sum, most+1, want)
		}
	}
}

func TestNobodyCounts(t *testing.T) {
	var none *tally.Tally
	none.Request(tally.ServerStats)
	none.Message("x")
}

func TestCountsAtOnce(t *testing.T) {
	b := tally.NewBook("one", limits, east)
	var counting sync.WaitGroup
	for i := range 8 {
		counting.Go(func() {
			for range 500 {
				b.Of(fmt.Sprint(i % 2)).Message("x")
				b.Of("0").Today()
			}
		})
	}
	counting.Wait()
	p := b.Process(table(t, &portal.Portal{Limits: limits}), nil)
	if p.Daily.Messages["x"] != 4000 || p.Of("0").Daily.Messages["x"] != 2000 || p.Of("1").Daily.Messages["x"] != 2000 {
		t.Errorf("%+v", p)
	}
}

// TestPortalsApart: the statistics have numbers of each portal, but leave out portals that have
// none.
func TestPortalsApart(t *testing.T) {
	small := limits
	small.Payload = 100
	portals := table(t, &portal.Portal{ClientID: "a", Limits: limits}, &portal.Portal{ClientID: "b", Limits: small},
		&portal.Portal{ClientID: "idle", Limits: limits}, &portal.Portal{ClientID: "counted", Limits: limits})
	b := tally.NewBook("one", limits, east)
	b.Of("a").Message("x")
	b.Of("counted").Request("publish")
	b.Of("idle")
	b.Of("gone").Message("y")
	before := time.Now().UnixMilli()
	got := b.Process(portals, map[string]proto.Numbers{
		"a":     {Channels: 1, WebSockets: 2, Polls: 3},
		"going": {Channels: 10, WebSockets: 20, Polls: 30},
	})
	if got.PID != os.Getpid() || got.ID != "one" || got.Date < before || got.Date > time.Now().UnixMilli() {
		t.Errorf("%d %q %d", got.PID, got.ID, got.Date)
	}
	check(t, "the whole", got.Numbers, proto.Numbers{Channels: 11, Limits: shown, Cluster: true, WebSockets: 22, Polls: 33,
		Daily: proto.Daily{Requests: proto.Counts{"publish": 1}, Messages: proto.Counts{"x": 1, "y": 1}}})
	narrow := shown
	narrow.Payload = 100
	check(t, "portals", got.Portals, map[string]proto.Numbers{
		"a":       {Channels: 1, Limits: shown, Cluster: true, WebSockets: 2, Polls: 3, Daily: proto.Daily{Messages: proto.Counts{"x": 1}}},
		"b":       {Limits: narrow, Cluster: true},
		"counted": {Limits: shown, Cluster: true, Daily: proto.Daily{Requests: proto.Counts{"publish": 1}}},
		"going":   {Channels: 10, Limits: shown, Cluster: true, WebSockets: 20, Polls: 30},
		"gone":    {Limits: shown, Cluster: true, Daily: proto.Daily{Messages: proto.Counts{"y": 1}}},
	})
	idle := got.ProcessStats
	idle.Numbers = proto.Numbers{Limits: shown, Cluster: true}
	check(t, "of the idle one", got.Of("idle"), idle)
	alone := b.Process(table(t, &portal.Portal{Limits: small}), nil)
	check(t, "limits where one is alone", alone.Limits, narrow)
}

// stats implements [Stats] in memory, for use in one bubble by one goroutine at a time.
type stats struct {
	puts  []time.Time
	drops []string
	err   error
}

func (s *stats) PutProcess(context.Context, proto.Process) error {
	s.puts = append(s.puts, time.Now())
	return s.err
}

func (s *stats) DropProcess(ctx context.Context, id string) error {
	s.drops = append(s.drops, id)
	if s.err != nil {
		<-ctx.Done()
	}
	return s.err
}

func TestKeep(t *testing.T) {
	for _, failure := range []error{nil, errors.New("broken")} {
		synctest.Test(t, func(t *testing.T) {
			b := tally.NewBook("one", limits, east)
			s := &stats{err: failure}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			told := 0
			start := time.Now()
			err := b.Keep(ctx, s, func() proto.Process { return proto.Process{} }, func(err error) {
				told++
				if err != failure {
					t.Error(err)
				}
			})
			if err != failure || told != len(s.puts) || len(s.drops) != 1 || s.drops[0] != "one" {
				t.Errorf("%v; %d of %d writes reported, dropped %v", err, told, len(s.puts), s.drops)
			}
			if failure != nil && time.Since(start) != time.Hour+time.Second {
				t.Errorf("left after %v", time.Since(start))
			}
			if len(s.puts) == 0 || !s.puts[0].Equal(start) {
				t.Fatal("not written at the start")
			}
			for i, at := range s.puts[1:] {
				if d := at.Sub(s.puts[i]); d < 9*time.Second || d > 11*time.Second {
					t.Errorf("%v between two writes", d)
				}
			}
			if n := len(s.puts); n < 330 || n > 400 {
				t.Errorf("%d writes in an hour", n)
			}
		})
	}
}
