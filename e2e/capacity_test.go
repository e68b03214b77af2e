package e2e

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/doctor"
)

// TestCapacity: what gives way first is named, with the number of users at which it does so. Here
// these are the descriptors of an edge, and then the memory that it may use. The first number is
// that of the connections which the edge in fact takes. No connection is left.
func TestCapacity(t *testing.T) {
	t.Parallel()
	w := examined{Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, AOF: true}), machine(t), []string{"PUSHGATE_KEYS=" + Key}}
	edge := w.Edges[0]
	plain := edge.argv

	edge.argv = append([]string{"sh", "-c", `ulimit -n 600 && exec "$0"`}, plain...)
	w.restart(t, edge)
	c := w.capacity(t, 2*time.Second, false)
	if first := c.Limits[0]; first.ID != "descriptors" || first.Users != 540 {
		t.Errorf("%+v", c.Limits)
	}
	if c.Costs.Opened == 0 || c.Costs.Opened > 540/20 {
		t.Errorf("%d connections were opened", c.Costs.Opened)
	}
	if took := w.fill(t, edge, 1000); took > 540 || took < 535 { // connections of others count
		t.Errorf("the edge takes %d connections, the doctor says %d", took, c.Limits[0].Users)
	}

	edge.argv = plain
	edge.Setenv("PUSHGATE_MAX_MEMORY=" + strconv.Itoa(12<<20))
	w.restart(t, edge)
	// At the edge: nginx takes few connections. A busy machine may be late, which ends the
	// measurement.
	for range 3 {
		if c = w.capacity(t, 3*time.Second, true); c.Costs.EdgeBytes > 0 {
			break
		}
	}
	if first := c.Limits[0]; first.ID != "edge_memory" || c.Costs.EdgeBytes < 1000 || c.Costs.EdgeBytes > 8000 {
		t.Errorf("%+v\n%+v", c.Limits, c.Costs)
	}
	if connections, err := w.Total(t.Context(), webSockets); err != nil || connections != 0 {
		t.Errorf("%v connections are left, %v", connections, err)
	}
}

func (w examined) restart(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// capacity measures for a time, and checks that it ends and leaves no connection.
func (w examined) capacity(t *testing.T, lasts time.Duration, direct bool) *doctor.Capacity {
	t.Helper()
	o := w.options(t)
	o.Measure = lasts
	if direct {
		o.Portal = ""
	}
	report, err := doctor.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Text(&text, doctor.English); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "1. ") {
		t.Error(text.String())
	}
	c := report.Capacity
	if c == nil || len(c.Limits) < 3 || c.Costs.Left != 0 {
		t.Fatalf("%+v", c)
	}
	if !slices.IsSortedFunc(c.Limits, func(a, b doctor.Limit) int { return int(a.Users - b.Users) }) {
		t.Errorf("%+v", c.Limits)
	}
	return c
}

// fill connects to an edge until it refuses, and returns how many connections it took.
func (w examined) fill(t *testing.T, edge *Process, most int) (taken int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var conns []*websocket.Conn
	shared := NewChannel()
	defer func() {
		for _, conn := range conns {
			conn.CloseNow()
		}
	}()
	for range most {
		conn, _, err := websocket.Dial(ctx, "ws://"+edge.Addr+"/bitrix/subws/?CHANNEL_ID="+w.Signed(NewChannel(), shared), nil)
		if err != nil {
			return len(conns)
		}
		conns = append(conns, conn)
	}
	return len(conns)
}
