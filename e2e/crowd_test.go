package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
)

// kind is a kind of client in a crowd.
type kind struct {
	name    string
	dialect Dialect
	token   bool // it comes with a token, and is a user
	stream  bool
}

var kinds = []kind{
	{name: "text", dialect: Text{}},
	{name: "protobuf", dialect: Binary{}},
	{name: "JSON", dialect: JSON{}},
	{name: "JSON-RPC, signed ids", dialect: RPC{}},
	{name: "JSON-RPC, token", dialect: RPC{}, token: true},
	{name: "events", dialect: JSON{}, stream: true},
}

// beginning is an id that comes before all others.
const beginning = "00000000000000000000000000"

// crowd is subscribers of every kind, each with a channel of its own and some of the shared ones,
// and what was published to them. All portals have the same channels and the same users, so a
// message that crosses from one portal to another finds a reader there.
type crowd struct {
	world       *World
	ledger      Ledger
	subscribers []Subscriber
	channels    []channel.ID
	users       []channel.ID // those who have come with a token
	sequence    atomic.Int64 // of the bodies: no two are the same
	stop        func()       // ends the subscribers' lives and waits for them
}

func newCrowd(t *testing.T, w *World, clients, shared int) *crowd {
	t.Helper()
	c := &crowd{world: w}
	for range shared {
		c.channels = append(c.channels, NewChannel())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(transport.CloseIdleConnections)
	var own channel.ID
	firstUser := 1 + rand.Int64N(1<<40) // a world may have several crowds, one after another
	for i := range clients {
		portal, n := w.Portals[i%len(w.Portals)], i/len(w.Portals)
		if i%len(w.Portals) == 0 {
			own = NewChannel()
			c.channels = append(c.channels, own)
		}
		// A round of all kinds, and the next one moved by one: every shared channel has readers of
		// every kind.
		first := n + n/len(kinds)
		channels := []channel.ID{own, c.channels[first%shared], c.channels[(first*7+3)%shared]}
		k := kinds[n%len(kinds)]
		s := Subscriber{Kind: k.name, Channels: channels, Client: &Client{
			Name: fmt.Sprintf("client %d (%s)", i, k.name), Address: w.Public, Portal: portal.ClientID, Dialect: k.dialect, Stream: k.stream,
			HTTP: &http.Client{Transport: transport}, From: beginning,
		}}
		if k.token {
			user := channel.ForUser(firstUser + int64(n))
			s.Token = portal.Token(firstUser+int64(n), channels...)
			s.Channels = append(s.Channels, user)
			if portal == w.Portals[0] {
				c.users = append(c.users, user)
			}
		} else {
			s.List = portal.Signed(channels...)
		}
		c.subscribers = append(c.subscribers, s)
	}
	return c
}

// live lets the subscribers come and go. Every fourth stays ten times as long: only who was there
// before a fault shows what it did.
func (c *crowd) live(h Habits) {
	ctx, cancel := context.WithCancel(context.Background())
	var lives sync.WaitGroup
	for i, s := range c.subscribers {
		h := h
		if (i/len(c.world.Portals)/len(kinds)+i)%4 == 0 {
			h.Life *= 10
		}
		lives.Go(func() { s.Live(ctx, rand.New(rand.NewPCG(uint64(i), 1)), h) })
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		lives.Wait()
	})
}

// publish posts until so many messages were accepted, to one to five channels each, by several
// senders at a rate. Each sender is any of the portals in turn, of any generation.
func (c *crowd) publish(t *testing.T, messages, rate int, accepted *atomic.Int64) {
	t.Helper()
	const senders = 8
	begin, first := time.Now(), c.sequence.Load()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(sender), 2))
			for accepted.Load() < int64(messages) && t.Context().Err() == nil {
				portal := c.world.Portals[random.IntN(len(c.world.Portals))]
				letters, send := c.letters(random, portal)
				last := c.sequence.Load()
				time.Sleep(time.Until(begin.Add(time.Duration(last-first) * time.Second / time.Duration(rate))))
				if err := c.ledger.Post(func() error { return send(t.Context()) }, letters...); err == nil {
					accepted.Add(int64(len(letters)))
				}
			}
		})
	}
	wg.Wait()
}

// letters makes the messages of one post, and chooses the way in which it is posted.
func (c *crowd) letters(random *rand.Rand, portal *Portal) (letters []Letter, send func(context.Context) error) {
	hangUp := random.IntN(4) == 0
	generation := 3 + random.IntN(3)
	count := 1
	if generation > 3 {
		count += random.IntN(3)
	}
	for range count {
		channels := make([]channel.ID, 0, 6)
		for _, i := range random.Perm(len(c.channels))[:1+random.IntN(5)] {
			channels = append(channels, c.channels[i])
		}
		if generation == 5 && len(c.users) > 0 && random.IntN(2) == 0 {
			channels = append(channels, c.users[random.IntN(len(c.users))])
		}
		n := c.sequence.Add(1)
		body := fmt.Sprintf(`{"module_id":"e2e","command":"message","params":{"portal":%q,"n":%d,"text":"привет"},"extra":{"n":%d}}`, portal.ClientID, n, n)
		letters = append(letters, Letter{Portal: portal.ClientID, Body: body, Channels: channels})
	}
	switch generation {
	case 3:
		return letters, func(ctx context.Context) error {
			_, err := portal.Post(ctx, letters[0].Body, hangUp, letters[0].Channels...)
			return err
		}
	case 4:
		return letters, func(ctx context.Context) error { return portal.PostBinary(ctx, hangUp, letters...) }
	default:
		return letters, func(ctx context.Context) error { return portal.PostRPC(ctx, hangUp, letters...) }
	}
}

// awaitAll waits until everything has arrived, and then lets every client come back once more,
// which must get nothing.
func (c *crowd) awaitAll(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.ledger.Await(ctx, c.subscribers); err != nil {
		t.Error(err)
	}
	c.stop()
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var last sync.WaitGroup
	for i, s := range c.subscribers {
		last.Go(func() { s.Visit(ctx, i/len(kinds)%2 == 0) })
	}
	last.Wait()
}

// verdict fails the test for whatever a client must not see.
func (c *crowd) verdict(t *testing.T, r Report) {
	t.Helper()
	if !r.OK() {
		t.Errorf("%v; foreign %d", r, r.Foreign)
		for _, fault := range r.Faults[:min(len(r.Faults), 20)] {
			t.Error(fault)
		}
	}
	for code := range r.Counts.Closes {
		// 3000 is an edge that leaves; -1 is no close frame. Any other code sends clients to the
		// portal, or is for a client's fault.
		if code != 3000 && code != -1 && code != websocket.StatusAbnormalClosure {
			t.Errorf("close %d", code)
		}
	}
}

// table prints the deliveries by the kind of client and the transport, and fails the test if there
// is one that had none.
func (c *crowd) table(t *testing.T, r Report) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "client\ttransport\tdeliveries\tp50\tp99\tlongest\t")
	for _, k := range kinds {
		transports := []string{webSocket, longPoll}
		if k.stream {
			transports = []string{stream}
		}
		for _, transport := range transports {
			delays := r.Ways[Way{k.name, transport}]
			if len(delays) == 0 {
				t.Errorf("%s by %s: no deliveries", k.name, transport)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%v\t%v\t\n", k.name, transport, len(delays), Quantile(delays, 0.5), Quantile(delays, 0.99), Quantile(delays, 1))
		}
	}
	fmt.Fprintf(w, "all\t\t%d\t%v\t%v\t%v\t\n", len(r.Delays), r.Delay(0.5), r.Delay(0.99), r.Delay(1))
	w.Flush()
	t.Logf("from post to arrival, by client and transport:\n%s", text.String())
}
