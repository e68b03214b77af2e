package ops

import (
	"container/list"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// newest keeps a bounded number of connections of a server: one more closes that which has been in
// its state for the longest, be it a client that sends nothing or one that takes no answer. So
// whoever holds all connections keeps nobody out who asks and leaves. Its methods may be called
// concurrently.
type newest struct {
	most   int
	closed prometheus.Counter

	mu    sync.Mutex
	order *list.List // of net.Conn; the first has been in its state for the longest
	at    map[net.Conn]*list.Element
}

// keepNewest makes a server that does not serve yet keep the newest of its connections, and count
// the others in closed. A hijacked connection is not counted.
func keepNewest(server *http.Server, most int, closed prometheus.Counter) {
	n := &newest{most: most, closed: closed, order: list.New(), at: make(map[net.Conn]*list.Element)}
	server.ConnState = n.note
}

func (n *newest) note(conn net.Conn, state http.ConnState) {
	if oldest := n.moved(conn, state); oldest != nil {
		n.closed.Inc()
		oldest.Close()
	}
}

// moved notes the new state of a connection. It returns the connection to close, or nil.
func (n *newest) moved(conn net.Conn, state http.ConnState) (oldest net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	element := n.at[conn]
	switch {
	case state == http.StateHijacked || state == http.StateClosed:
		n.forget(element)
	case element != nil:
		n.order.MoveToBack(element)
	case state == http.StateNew:
		n.at[conn] = n.order.PushBack(conn)
		if n.order.Len() > n.most {
			return n.forget(n.order.Front())
		}
	}
	return nil // also if it was forgotten: it is being closed
}

// forget forgets the connection of an element, which may be nil, and returns it.
func (n *newest) forget(element *list.Element) net.Conn {
	if element == nil {
		return nil
	}
	conn := n.order.Remove(element).(net.Conn)
	delete(n.at, conn)
	return conn
}
