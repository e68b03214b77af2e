package doctor

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
)

const (
	crowdGroup   = 100 // connections that share a channel
	crowdDialers = 16
	crowdPosters = 8
	crowdRead    = 64 << 10         // bytes of a frame
	crowdDial    = 10 * time.Second // for one connection
)

// crowd is many WebSockets of channels that nobody else has. Each has a channel of its own, and
// one that it shares with others.
type crowd struct {
	visit  *visit
	bases  []*url.URL // where to connect, in turns
	begin  time.Time
	marker string // begins each message

	readers sync.WaitGroup

	// Guarded by mu.
	mu        sync.Mutex
	conns     []*websocket.Conn
	single    []channel.ID
	groups    []channel.ID
	latencies []time.Duration // from a post to its receipt, since they were taken
	received  int             // since they were taken
	err       error           // the first connection that was not made, or was lost
	closing   bool
}

func newCrowd(v *visit, bases []*url.URL) *crowd {
	return &crowd{visit: v, bases: bases, begin: time.Now(), marker: random() + ":"}
}

// open makes n more connections, spread over a time, and returns when all are there, or when one
// was refused or ctx has ended.
func (c *crowd) open(ctx context.Context, n int, spread time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	due := make(chan struct{})
	var dialling sync.WaitGroup
	for range min(n, crowdDialers) {
		dialling.Go(func() {
			for range due {
				if err := c.dial(ctx); err != nil && ctx.Err() == nil {
					c.fail(err)
					cancel()
				}
			}
		})
	}
	begin := time.Now()
	for i := range n {
		if !pause(ctx, time.Until(begin.Add(spread*time.Duration(i)/time.Duration(n)))) {
			break
		}
		due <- struct{}{}
	}
	close(due)
	dialling.Wait()
	return c.failed()
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.closing {
		c.err = err
	}
}

func (c *crowd) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

// dial makes a connection.
func (c *crowd) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, crowdDial)
	defer cancel()
	own := newChannel()
	c.mu.Lock()
	if len(c.single)%crowdGroup == 0 {
		c.groups = append(c.groups, newChannel())
	}
	base, shared := c.bases[len(c.single)%len(c.bases)], c.groups[len(c.groups)-1]
	c.single = append(c.single, own)
	c.mu.Unlock()
	v := *c.visit
	v.base = base
	conn, err := v.dial(ctx, own, shared)
	if err != nil {
		return err
	}
	conn.SetReadLimit(crowdRead)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		conn.CloseNow()
		return nil
	}
	c.conns = append(c.conns, conn)
	c.readers.Go(func() { c.read(conn) })
	return nil
}

// read notes when messages arrive, until the connection ends.
func (c *crowd) read(conn *websocket.Conn) {
	for {
		_, frame, err := conn.Read(context.Background()) // close ends it
		if err != nil {
			c.fail(errors.Join(errLost, err))
			return
		}
		now := time.Since(c.begin)
		for {
			_, rest, found := bytes.Cut(frame, []byte(c.marker))
			if !found {
				break
			}
			digits, _, _ := bytes.Cut(rest, []byte("."))
			frame = rest
			if sent, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
				c.mu.Lock()
				c.received++
				c.latencies = append(c.latencies, now-time.Duration(sent))
				c.mu.Unlock()
			}
		}
	}
}

var errLost = errors.New("a connection was lost")

// post publishes to one of the channels of their own, or to one of those that are shared.
func (c *crowd) post(ctx context.Context, shared bool, number int) error {
	c.mu.Lock()
	ids := c.single
	if shared {
		ids = c.groups
	}
	id := ids[number%len(ids)]
	c.mu.Unlock()
	text := c.marker + strconv.FormatInt(int64(time.Since(c.begin)), 10) + "."
	return c.visit.post(ctx, id, text)
}

// publish posts at a rate for a time, and returns how many posts were accepted.
func (c *crowd) publish(ctx context.Context, shared bool, rate float64, lasts time.Duration) (posted int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	due := make(chan int)
	counts := make([]int, crowdPosters)
	var posting sync.WaitGroup
	for worker := range crowdPosters {
		posting.Go(func() {
			for number := range due {
				if err := c.post(ctx, shared, number); err != nil {
					cancel(err)
				} else {
					counts[worker]++
				}
			}
		})
	}
	begin := time.Now()
	for number := 0; time.Since(begin) < lasts; number++ {
		if !pause(ctx, time.Until(begin.Add(time.Duration(float64(number)/rate*float64(time.Second))))) {
			break
		}
		due <- number
	}
	close(due)
	posting.Wait()
	for _, n := range counts {
		posted += n
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return posted, err
}

// take returns what has been received since the last call, and the latencies in their order.
func (c *crowd) take() (received int, latencies []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	received, latencies = c.received, c.latencies
	c.received, c.latencies = 0, nil
	slices.Sort(latencies)
	return received, latencies
}

// close closes all connections and waits for their readers.
func (c *crowd) close() {
	c.mu.Lock()
	c.closing = true
	conns := c.conns
	c.mu.Unlock()
	for _, conn := range conns {
		conn.CloseNow()
	}
	c.readers.Wait()
}

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// part returns the value below which a part of sorted values is; 0 if there are none.
func part(sorted []time.Duration, of float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(of*float64(len(sorted))))]
}

// dial subscribes to channels on a WebSocket.
func (v *visit) dial(ctx context.Context, ids ...channel.ID) (*websocket.Conn, error) {
	u := v.address("/bitrix/subws/", ids...)
	conn, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: v.client})
	if err != nil {
		// The library's error has the status, and no address but in that of the connection.
		return nil, v.brief(u, errors.New(strings.ReplaceAll(err.Error(), u.RawQuery, "…")))
	}
	return conn, nil
}
