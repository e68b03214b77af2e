package e2e

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// WebSocket holds one connection until it breaks or ctx ends, and returns what ended it: a
// [websocket.CloseError] if there was a close frame. opened, if not nil, is called when the
// connection is there.
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

// Habits is the behaviour of a client in [Client.Live].
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

// Visit connects once and stays until ctx ends. It uses the client's transport or, if it has two,
// the chosen one.
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
