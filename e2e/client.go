package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pollPatience is the known clients' own limit for a long poll.
const pollPatience = 60 * time.Second

// Arrival is a record and when it came.
type Arrival struct {
	Record
	At time.Time
}

// Client is one subscriber over its whole life, in which it has many connections, one at a time. It keeps the last id that it saw
// and brings it along, and it notes all that a client must never see. The exported fields are set before its first connection.
type Client struct {
	Name    string
	Address string // of nginx or an edge
	List    string // CHANNEL_ID
	Dialect Dialect
	HTTP    *http.Client
	From    string // the id that it starts after; empty for what comes from now on

	mu       sync.Mutex
	last     string
	arrivals []Arrival
	gaps     int // notes of one
	faults   []string
	counts   Counts
}

// Counts is how a client's connections went.
type Counts struct {
	WebSockets, Polls int // connections made, polls answered
	Broken            int // connections that ended without a word
	Closes            map[websocket.StatusCode]int
	Statuses          map[int]int // of polls and refused handshakes
	Disordered        int         // ids that were not above the one before
}

// Arrivals gives what has come so far.
func (c *Client) Arrivals() []Arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.arrivals)
}

// Arrived gives how many records have come so far.
func (c *Client) Arrived() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.arrivals)
}

// Gaps gives how often the client was told that messages are missing.
func (c *Client) Gaps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gaps
}

// Faults gives what a client must never see, in words, and what it counted.
func (c *Client) Faults() ([]string, Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := Counts{}
	counts.add(c.counts) // its maps are its own
	return slices.Clone(c.faults), counts
}

// Last gives the id that the next connection brings along.
func (c *Client) Last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == "" {
		return c.From
	}
	return c.last
}

// WebSocket holds one connection until it breaks or ctx ends, and says what ended it: a [websocket.CloseError] if there was a word.
// opened is called once it is there, if not nil.
func (c *Client) WebSocket(ctx context.Context, opened func()) error {
	conn, answer, err := websocket.Dial(ctx, "ws://"+c.Address+"/bitrix/subws/?"+c.query(), &websocket.DialOptions{HTTPClient: c.HTTP})
	if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
		c.status(answer.StatusCode)
	}
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	c.count(func(n *Counts) { n.WebSockets++ })
	if opened != nil {
		opened()
	}
	for {
		kind, payload, err := conn.Read(ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); ctx.Err() == nil {
				c.count(func(n *Counts) { n.Closes[code]++ })
			}
			return err
		}
		if kind != c.Dialect.Frame() {
			c.fault("a frame of type %v", kind)
		}
		c.take(payload)
	}
}

// Poll makes one long poll. An answer that breaks off is an error, and changes nothing.
func (c *Client) Poll(ctx context.Context) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+"/bitrix/sub/?"+c.query(), nil)
	if err != nil {
		return 0, err
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	c.count(func(n *Counts) { n.Polls++ })
	c.status(answer.StatusCode)
	switch answer.StatusCode {
	case http.StatusOK:
		c.take(body)
	case http.StatusNotModified:
		c.nothing(answer.Header)
	}
	return answer.StatusCode, nil
}

// Habits is how a client behaves that is left alone.
type Habits struct {
	Polls float64       // share of its lives that it spends polling
	Life  time.Duration // of a connection, at most
	Pause time.Duration // between two, at most
}

// Live connects, reads, and comes back with the last id, until ctx ends.
func (c *Client) Live(ctx context.Context, random *rand.Rand, h Habits) {
	for ctx.Err() == nil {
		life, cancel := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(h.Life))))
		if random.Float64() < h.Polls {
			for life.Err() == nil {
				if _, err := c.Poll(life); err != nil && life.Err() == nil {
					c.count(func(n *Counts) { n.Broken++ })
					break
				}
			}
		} else if err := c.WebSocket(life, nil); life.Err() == nil && websocket.CloseStatus(err) == -1 {
			c.count(func(n *Counts) { n.Broken++ })
		}
		cancel()
		rest := time.NewTimer(time.Duration(random.Int64N(int64(h.Pause))))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// query is what the web clients send, in their order.
func (c *Client) query() string {
	rest := url.Values{}
	c.Dialect.Query(rest)
	if last := c.Last(); last != "" {
		rest.Set("mid", last)
	}
	rest.Set("revision", "19")
	return "CHANNEL_ID=" + url.QueryEscape(c.List) + "&" + rest.Encode()
}

// take notes the records of a frame or an answer.
func (c *Client) take(payload []byte) {
	now := time.Now()
	records, err := c.Dialect.Records(payload)
	if err != nil {
		c.fault("%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		if len(r.MID) != 26 || r.MID <= max(c.last, c.From) {
			c.counts.Disordered++
			c.faultLocked("id %q after %q", r.MID, max(c.last, c.From))
		}
		c.last = r.MID
		if isGap(r.Body) {
			c.gaps++
			continue
		}
		c.arrivals = append(c.arrivals, Arrival{Record: r, At: now})
	}
}

// isGap reports whether a message is the server's note of a gap, and none that was published.
func isGap(body string) bool {
	var m struct {
		Module  string `json:"module_id"`
		Command string
	}
	return json.Unmarshal([]byte(body), &m) == nil && m.Module == "pushgate" && m.Command == "gap"
}

// nothing notes a 304, and does what the known clients do with it: they go on from the id that it names.
func (c *Client) nothing(h http.Header) {
	if h.Get("Expires") != "Thu, 01 Jan 1973 11:11:01 GMT" {
		c.fault("304 with Expires %q", h.Get("Expires"))
	}
	named := h.Get("Last-Message-Id")
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.last
	if before == "" {
		before = c.From
	}
	if before != "" && named != before {
		c.faultLocked("304 names %q after a request with %q", named, before)
	}
	if named != "" {
		c.last = named
	}
}

func (c *Client) status(status int) {
	c.count(func(n *Counts) { n.Statuses[status]++ })
	if status != http.StatusOK && status != http.StatusNotModified {
		c.fault("status %d", status)
	}
}

func (c *Client) count(change func(*Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.init()
	change(&c.counts)
}

func (n *Counts) init() {
	if n.Closes == nil {
		n.Closes, n.Statuses = make(map[websocket.StatusCode]int), make(map[int]int)
	}
}

func (c *Client) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faultLocked(format, args...)
}

// faultLocked notes a fault; one client's first few tell enough. c.mu is held.
func (c *Client) faultLocked(format string, args ...any) {
	if len(c.faults) < 5 {
		c.faults = append(c.faults, c.Name+": "+fmt.Sprintf(format, args...))
	}
}
