package edge

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"pushgate/internal/handover"
	"pushgate/internal/revoke"
	"pushgate/internal/transport"
	"pushgate/internal/wire"
)

const (
	// restPatience is how long to wait for connections to rest, after the last one was handed over.
	restPatience = time.Second
	restInterval = 10 * time.Millisecond // between two checks
)

// HandOver implements [handover.Edge]: it hands the WebSockets to a successor, each at a moment
// when it rests. [Edge.Drain] ends the others: polls, streams, and WebSockets that do not rest, for
// example because their clients do not read.
func (e *Edge) HandOver(ctx context.Context, give handover.Give) error {
	if !e.begin() {
		return errEnded
	}
	defer e.connections.Done()
	for last := time.Now(); time.Since(last) < restPatience; {
		left := 0
		for _, m := range e.shared.Heartbeats.Members() {
			c, ok := m.(*transport.WebSocket)
			if !ok || c.Kept() {
				continue
			}
			given, err := e.handOver(c, give)
			switch {
			case err != nil:
				return err
			case given:
				last = time.Now()
			default:
				left++
			}
		}
		if left == 0 {
			break
		}
		if err := wait(ctx, restInterval); err != nil {
			return err
		}
	}
	e.successor.Store(&give)
	return nil
}

// handOverLate hands a connection that has to leave to the successor, if there is one, and reports
// false if it has to be closed instead.
func (e *Edge) handOverLate(c *transport.WebSocket) bool {
	give := e.successor.Load()
	if give == nil {
		return false
	}
	for began := time.Now(); time.Since(began) < restPatience; {
		if given, err := e.handOver(c, *give); given || err != nil {
			return given
		}
		if !c.Wait(restInterval) {
			return true // it has ended, or is another WebSocket now, because it was not taken
		}
	}
	return false
}

// handOver hands a connection to a successor if it rests. It reports false if the connection is
// still served here: by c, or, if the successor did not take it, by a new WebSocket.
func (e *Edge) handOver(c *transport.WebSocket, give handover.Give) (given bool, err error) {
	through, conn, ok := c.Claim()
	if !ok {
		return false, nil
	}
	s := c.Owner().(*subscriber)
	r := handover.Record{Portal: s.tenant.clientID, Dialect: s.reader.Codec.Name, Channels: s.reader.Channels, Public: s.public,
		User: s.reader.User, Expires: s.expires, Cursor: through}
	if s.token != (revoke.Hash{}) {
		r.Token = s.token[:]
	}
	if s.calls != nil {
		r.Statuses = slices.Collect(maps.Keys(s.calls.statuses))
	}
	given, err = give(r, conn)
	if given {
		conn.Close() // the successor has it
		e.shared.Metrics.Ended(transport.ReasonHandedOver)
		return true, err
	}
	sub := s.subscription
	sub.cursor = &r.Cursor
	e.resume(e.newSubscriber(context.Background(), sub, transport.KindWebSocket), conn, r.Statuses, transport.Resumed{Beat: true, Kept: err == nil})
	return false, err
}

// resume serves a WebSocket that was served before, here or by another process.
func (e *Edge) resume(s *subscriber, conn net.Conn, statuses []int64, before transport.Resumed) {
	c := transport.NewWebSocket(e.shared, conn, s, &s.reader, before, s.attach)
	for _, user := range statuses {
		s.watchUser(user)
	}
	s.serve(c, counts{e.metrics.webSockets, &s.tenant.numbers.webSockets}, c.Start)
}

var (
	errEnded  = errors.New("edge has ended")
	errPortal = errors.New("portal is not served here")
	errCodec  = errors.New("unknown dialect")
)

// Adopt implements [handover.Edge].
func (e *Edge) Adopt(ctx context.Context, r handover.Record, conn net.Conn, confirm func() error) error {
	if !e.begin() {
		return errEnded
	}
	defer e.connections.Done()
	sub := subscription{portal: e.portals.Load().find(r.Portal), public: r.Public, cursor: &r.Cursor, expires: r.Expires,
		reader: wire.Reader{Codec: wire.ByName(r.Dialect), Channels: r.Channels, User: r.User}}
	copy(sub.token[:], r.Token)
	switch {
	case sub.portal == nil:
		return errPortal
	case sub.reader.Codec == nil:
		return errCodec
	case e.ceiling.reached() != "":
		return errFull
	}
	s := e.newSubscriber(ctx, sub, transport.KindWebSocket)
	if err := confirm(); err != nil {
		s.drop()
		return err
	}
	e.resume(s, conn, r.Statuses, transport.Resumed{Beat: true})
	return nil
}
