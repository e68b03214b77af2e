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
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pollPatience is the known clients' own limit for a long poll.
const pollPatience = 60 * time.Second

// heartbeatPatience is after how long without a heartbeat the known clients of the fifth generation give a connection up.
const heartbeatPatience = 20 * time.Second

// Transports, as arrivals bear them.
const (
	webSocket = "websocket"
	longPoll  = "longpoll"
	stream    = "sse"
)

// Arrival is a record, and how and when it came.
type Arrival struct {
	Record
	Transport string // websocket, longpoll or sse
	At        time.Time
}

// Client is one subscriber over its whole life, in which it has many connections, one at a time. It keeps the last id that it saw
// and brings it along, and it notes all that a client must never see. The exported fields are set before its first connection.
type Client struct {
	Name    string
	Address string // of nginx or an edge
	List    string // CHANNEL_ID
	Token   string // a JWT in place of the list, if not empty
	Portal  string // clientId; empty for the personal portal
	Dialect Dialect
	Stream  bool // it lives on server-sent events, whose form is always that of JSON
	HTTP    *http.Client
	From    string // the id that it starts after; empty for what comes from now on

	mu       sync.Mutex
	last     string
	began    string // the first id that it was told
	arrivals []Arrival
	gaps     int // notes of one
	faults   []string
	counts   Counts
}

// Counts is how a client's connections went.
type Counts struct {
	WebSockets, Polls, Streams int // connections made, polls answered, streams begun
	Broken                     int // connections that ended without a word
	Heartbeats                 int // that were answered
	Closes                     map[websocket.StatusCode]int
	Statuses                   map[int]int // of polls and refused handshakes
	Disordered                 int         // ids that were not above the one before
	PortalCalls                int         // what makes one of the known clients call the portal
}

// callsPortal reports whether a close code makes a known client ask the portal for another configuration: 4010 those of the web, the
// others the mobile ones.
func callsPortal(code websocket.StatusCode) bool {
	return slices.Contains([]websocket.StatusCode{1001, 3001, 3002, 3003, 4010}, code)
}

// expires reports whether a message has clients ask the portal.
func expires(body string) bool {
	var m struct {
		Module  string `json:"module_id"`
		Command string
		Params  struct{ Action string }
	}
	if json.Unmarshal([]byte(body), &m) != nil || !strings.EqualFold(m.Module, "pull") {
		return false
	}
	return strings.EqualFold(m.Command, "config_expire") || strings.EqualFold(m.Command, "channel_expire") && m.Params.Action != "reconnect"
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

// due reports whether the client can claim a message: one that came after where it started. If it started from nowhere, that is the
// first id that it was told; until then whatever it misses is not missing.
func (c *Client) due(mid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.From != "" || c.began != "" && mid > c.began
}

// WebSocket holds one connection until it breaks or ctx ends, and says what ended it: a [websocket.CloseError] if there was a word.
// opened is called once it is there, if not nil.
func (c *Client) WebSocket(ctx context.Context, opened func()) error {
	conn, answer, err := websocket.Dial(ctx, "ws://"+c.Address+"/bitrix/subws/?"+c.query(c.Last()), &websocket.DialOptions{HTTPClient: c.HTTP})
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
	talker, _ := c.Dialect.(Talker)
	beat := time.Now()
	for {
		kind, payload, err := conn.Read(ctx)
		if silent := time.Since(beat); talker != nil && silent > heartbeatPatience {
			c.fault("no heartbeat for %v", silent)
		}
		if err != nil {
			if code := websocket.CloseStatus(err); ctx.Err() == nil {
				c.count(func(n *Counts) {
					n.Closes[code]++
					if callsPortal(code) {
						n.PortalCalls++
					}
				})
			}
			return err
		}
		if kind != c.Dialect.Frame() {
			c.fault("a frame of type %v", kind)
		}
		if talker == nil {
			c.take(c.records(payload), webSocket)
			continue
		}
		if answer, ok := talker.Heartbeat(payload); ok {
			beat = time.Now()
			c.count(func(n *Counts) { n.Heartbeats++ })
			if err := conn.Write(ctx, websocket.MessageText, []byte(answer)); err != nil {
				return err
			}
			continue
		}
		records := c.records(payload)
		c.take(records, webSocket)
		for _, r := range records {
			if err := conn.Write(ctx, websocket.MessageText, []byte(talker.Receipt(r))); err != nil {
				return err
			}
		}
	}
}

// Poll makes one long poll. An answer that breaks off is an error, and changes nothing.
func (c *Client) Poll(ctx context.Context) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+"/bitrix/sub/?"+c.query(c.Last()), nil)
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
		c.take(c.records(body), longPoll)
	case http.StatusNotModified:
		c.nothing(answer.Header)
	}
	return answer.StatusCode, nil
}

// Habits is how a client behaves that is left alone.
type Habits struct {
	Polls float64       // share of its lives that it spends polling, unless it has streams
	Life  time.Duration // of a connection, at most
	Pause time.Duration // between two, at most
}

// Live connects, reads, and comes back with the last id, until ctx ends.
func (c *Client) Live(ctx context.Context, random *rand.Rand, h Habits) {
	for ctx.Err() == nil {
		life, cancel := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(h.Life))))
		if c.Stream {
			if err := c.Events(life); err != nil && life.Err() == nil {
				c.count(func(n *Counts) { n.Broken++ })
			}
		} else if random.Float64() < h.Polls {
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

// Visit comes once, by the transport that it has or, of two, by the one that is chosen, and stays until ctx ends.
func (c *Client) Visit(ctx context.Context, poll bool) {
	switch {
	case c.Stream:
		_ = c.Events(ctx)
	case poll:
		_, _ = c.Poll(ctx)
	default:
		_ = c.WebSocket(ctx, nil)
	}
}

// query is what the web clients send, in their order.
func (c *Client) query(mid string) string {
	who := "CHANNEL_ID=" + url.QueryEscape(c.List)
	if c.Token != "" {
		who = "token=" + url.QueryEscape(c.Token)
	}
	rest := url.Values{}
	if !c.Stream {
		c.Dialect.Query(rest)
	}
	mode := rest.Encode()
	if mode != "" {
		mode = "&" + mode
	}
	if c.Portal != "" {
		mode += "&clientId=" + c.Portal
	}
	if mid != "" {
		mode += "&mid=" + mid
	}
	return who + mode + "&revision=19"
}

// records takes a frame or an answer apart.
func (c *Client) records(payload []byte) []Record {
	records, err := c.Dialect.Records(payload)
	if err != nil {
		c.fault("%v", err)
	}
	return records
}

// take notes records that came at once.
func (c *Client) take(records []Record, transport string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		if len(r.MID) != 26 || r.MID <= max(c.last, c.From) {
			c.counts.Disordered++
			c.faultLocked("id %q after %q", r.MID, max(c.last, c.From))
		}
		c.tellLocked(r.MID)
		if isGap(r.Body) {
			c.gaps++
			continue
		}
		if expires(r.Body) {
			c.counts.PortalCalls++
		}
		c.arrivals = append(c.arrivals, Arrival{Record: r, Transport: transport, At: now})
	}
}

// known gives the last id that the client was told; empty if it was told none.
func (c *Client) known() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// begin notes where a stream begins, if it says so.
func (c *Client) begin(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellLocked(id)
}

// tellLocked notes an id that the client was told, if it was one. c.mu is held.
func (c *Client) tellLocked(id string) {
	if id == "" {
		return
	}
	if c.began == "" {
		c.began = id
	}
	c.last = id
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
	// Who starts before all ids and hears of none is told of none, and starts there again.
	if none := named == "" && strings.Trim(before, "0") == ""; !none && before != "" && named != before {
		c.faultLocked("304 names %q after a request with %q", named, before)
	}
	c.tellLocked(named)
}

func (c *Client) status(status int) {
	c.count(func(n *Counts) {
		n.Statuses[status]++
		if status == http.StatusBadRequest {
			n.PortalCalls++ // by the mobile clients
		}
	})
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
