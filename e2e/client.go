package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pollPatience is the known clients' own limit for a long poll.
const pollPatience = 60 * time.Second

// heartbeatPatience is how long the known clients of the fifth generation wait for a heartbeat
// before they give up a connection.
const heartbeatPatience = 20 * time.Second

// Transports, as [Arrival] names them.
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

// Client is one subscriber over its whole life, in which it has many connections, one at a time. It
// keeps the last id that it saw and sends it along, and it records all that a client must never
// see. The exported fields are set before its first connection.
type Client struct {
	Name    string
	Address string // of nginx or an edge
	List    string // CHANNEL_ID
	Token   string // a JWT in place of the list, if not empty
	Portal  string // clientId; empty for the personal portal
	Dialect Dialect
	Stream  bool // it lives on server-sent events, whose form is always that of JSON
	Panics  bool // some of its polls are answered 500: the work for them panics
	HTTP    *http.Client
	From    string // the id that it starts after; empty for what comes from now on

	mu       sync.Mutex
	last     string
	began    string // the first id that it received
	arrivals []Arrival
	gaps     int // notes of one
	faults   []string
	counts   Counts
}

// Counts has the outcomes of a client's connections.
type Counts struct {
	WebSockets, Polls, Streams int // connections made, polls answered, streams begun
	Broken                     int // connections that ended without a word
	Heartbeats                 int // that were answered
	Closes                     map[websocket.StatusCode]int
	Statuses                   map[int]int // of polls and refused handshakes
	Disordered                 int         // ids that were not above the one before
	PortalCalls                int         // what makes one of the known clients call the portal
}

// callsPortal reports whether a close code makes a known client ask the portal for another
// configuration: 4010 those of the web, the others the mobile ones.
func callsPortal(code websocket.StatusCode) bool {
	return slices.Contains([]websocket.StatusCode{1001, 3001, 3002, 3003, 4010}, code)
}

// expires reports whether a message makes clients ask the portal for a new configuration.
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

// Arrivals returns what has come so far.
func (c *Client) Arrivals() []Arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.arrivals)
}

// Arrived returns how many records have come so far.
func (c *Client) Arrived() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.arrivals)
}

// Gaps returns how many notes of a gap the client received.
func (c *Client) Gaps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gaps
}

// Faults returns descriptions of what a client must never see, and the counts.
func (c *Client) Faults() ([]string, Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := Counts{}
	counts.add(c.counts) // its maps are its own
	return slices.Clone(c.faults), counts
}

// Last returns the id that the next connection will send.
func (c *Client) Last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == "" {
		return c.From
	}
	return c.last
}

// due reports whether the client must get a message: one after the position at which it started. If
// it started without an id, that is the first id that it received; before that, nothing that it
// misses counts as lost.
func (c *Client) due(mid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.From != "" || c.began != "" && mid > c.began
}

// records decodes a frame or an answer.
func (c *Client) records(payload []byte) []Record {
	records, err := c.Dialect.Records(payload)
	if err != nil {
		c.fault("%v", err)
	}
	return records
}

// take records messages that came together.
func (c *Client) take(records []Record, transport string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		if len(r.MID) != 26 || r.MID <= max(c.last, c.From) {
			c.counts.Disordered++
			c.faultLocked("id %q after %q", r.MID, max(c.last, c.From))
		}
		c.noteLocked(r.MID)
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

// known returns the last id that the client received; empty if it received none.
func (c *Client) known() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// begin records the id at which a stream begins, if it has one.
func (c *Client) begin(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(id)
}

// noteLocked records an id that the client received, unless it is empty. c.mu is held.
func (c *Client) noteLocked(id string) {
	if id == "" {
		return
	}
	if c.began == "" {
		c.began = id
	}
	c.last = id
}

// isGap reports whether a message is the server's note of a gap, and not a published one.
func isGap(body string) bool {
	var m struct {
		Module  string `json:"module_id"`
		Command string
	}
	return json.Unmarshal([]byte(body), &m) == nil && m.Module == "pushgate" && m.Command == "gap"
}

// nothing records a 304, and does what the known clients do: they go on from its id, if it has one.
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
	// A client that sends its revision and its id gets no id, and goes on from its own. It gets
	// another one only if there were messages that it must not have.
	if named != "" && before != "" && named != before {
		c.faultLocked("304 names %q after a request with %q", named, before)
	}
	c.noteLocked(named)
}

func (c *Client) status(status int) {
	c.count(func(n *Counts) {
		n.Statuses[status]++
		if status == http.StatusBadRequest {
			n.PortalCalls++ // by the mobile clients
		}
	})
	if status != http.StatusOK && status != http.StatusNotModified && !(c.Panics && status == http.StatusInternalServerError) {
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

// faultLocked records a fault; the first few of each client are enough. c.mu is held.
func (c *Client) faultLocked(format string, args ...any) {
	if len(c.faults) < 5 {
		c.faults = append(c.faults, c.Name+": "+fmt.Sprintf(format, args...))
	}
}
