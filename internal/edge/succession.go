package edge

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"pushgate/internal/handover"
)

const (
	// restPatience is how long to wait for connections that do not rest, while no other can be handed over.
	restPatience = time.Second
	restInterval = 10 * time.Millisecond // between two looks
)

// HandOver implements [handover.Edge]: it gives the WebSockets to a successor, each in a moment in which it rests. What does not, such as one
// whose client does not read, and polls and streams are left for [Edge.Drain].
func (e *Edge) HandOver(ctx context.Context, give handover.Give) error {
	if !e.begin() {
		return errEnded
	}
	defer e.connections.Done()
	for last := time.Now(); time.Since(last) < restPatience; {
		left := 0
		for _, m := range e.wheel.members() {
			c, ok := m.(*wsConn)
			if !ok || c.kept {
				continue
			}
			given, err := c.handOver(give)
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
	e.heir.Store(&give)
	return nil
}

// bequeath gives a connection that is to go to the successor, if there is one, and reports false if it has to go some other way.
func (c *wsConn) bequeath() bool {
	heir := c.edge.heir.Load()
	if heir == nil || c.kept {
		return false
	}
	for began := time.Now(); time.Since(began) < restPatience; {
		if given, err := c.handOver(*heir); given || err != nil {
			return given
		}
		if wait(c.ctx, restInterval) != nil {
			return true // it has ended meanwhile, or was handed over and not taken: then it is another one now
		}
	}
	return false
}

// handOver gives a connection to a successor if it rests, and reports false if it is still served here: as it is, or by another wsConn if
// the successor did not take it.
func (c *wsConn) handOver(give handover.Give) (given bool, err error) {
	r, conn, ok := c.claim()
	if !ok {
		return false, nil
	}
	defer c.edge.config.Panics.Recover("handover", c.readerCrashed)
	c.depart()
	given, err = give(r, conn)
	if given {
		conn.Close() // the successor has it
		c.edge.metrics.ends[ReasonHandedOver].Inc()
		return true, err
	}
	sub := c.sub
	sub.cursor = &r.Cursor
	c.edge.connect(c.edge.join(context.Background(), sub.portal), sub, conn, earlier{true, r.Statuses, err == nil})
	return false, err
}

// claim makes the caller the only one who reads and writes the connection, if it rests. What is left of c is its place in several lists.
func (c *wsConn) claim() (r handover.Record, conn net.Conn, ok bool) {
	held := c.net
	through, ok := c.session.Claim() // the writer's part
	if !ok {
		return r, nil, false
	}
	if conn, ok = held.Claim(); !ok { // the reader's
		c.edge.start(c.crash, c.write)
		return r, nil, false
	}
	beats := c.rpc == nil || c.rpc.beatingSince.CompareAndSwap(0, time.Now().UnixNano()) // from now on no heartbeat begins
	if beats {
		c.end(ReasonHandedOver)
	}
	if context.Cause(c.ctx) != ReasonHandedOver { // somebody else has ended it, and says so to the client; or there is a heartbeat on its way
		if beats && c.rpc != nil {
			c.rpc.beatingSince.Store(0)
		}
		c.edge.start(c.crash, c.write)
		held.Serve(c.read)
		return r, nil, false
	}
	r = handover.Record{Portal: c.tenant.clientID, Dialect: c.sub.codec.name, Channels: c.sub.channels, Public: c.sub.public, User: c.sub.user,
		Expires: c.sub.expires, Cursor: through}
	if c.rpc != nil {
		r.Statuses = slices.Collect(maps.Keys(c.rpc.statuses))
	}
	return r, conn, true
}

var (
	errEnded  = errors.New("this edge has ended")
	errPortal = errors.New("its portal is not served here")
	errCodec  = errors.New("its dialect is not known here")
)

// Adopt implements [handover.Edge].
func (e *Edge) Adopt(ctx context.Context, r handover.Record, conn net.Conn, confirm func() error) error {
	if !e.begin() {
		return errEnded
	}
	defer e.connections.Done()
	sub := subscription{portal: e.portals.Load().find(r.Portal), channels: r.Channels, public: r.Public, cursor: &r.Cursor, user: r.User, expires: r.Expires}
	for _, codec := range codecs() {
		if codec.name == r.Dialect {
			sub.codec = codec
		}
	}
	switch {
	case sub.portal == nil:
		return errPortal
	case sub.codec == nil:
		return errCodec
	case e.ceiling.reached() != "":
		return errFull
	}
	t := e.join(ctx, sub.portal)
	if err := confirm(); err != nil {
		t.part()
		return err
	}
	e.connect(t, sub, conn, earlier{resumed: true, statuses: r.Statuses})
	return nil
}

// earlier is what a connection had before it was handed over, or was to be. That of a new one is the zero value.
type earlier struct {
	resumed  bool    // there was one
	statuses []int64 // users whose coming and going the client is told of
	kept     bool    // the successor did not take it
}
