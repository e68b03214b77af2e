package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/testkit/faulty"
	"pushgate/tools/load"
)

// slowReaders holds fifty connections that read a byte a second, from a channel with large
// messages.
func slowReaders(d *drill) error {
	const readers, size = 50, 64 << 10
	portal, id := d.Portals[0], NewChannel()
	for range readers {
		d.beside.Go(func() {
			conn, err := d.upgrade(d.Public, portal.Signed(id)+"&clientId="+portal.ClientID)
			if err != nil {
				return
			}
			defer conn.Close()
			b := make([]byte, 1)
			for d.noise.Err() == nil {
				_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
				if _, err := conn.Read(b); err != nil && !timeout(err) {
					return
				}
				d.rest(time.Second)
			}
		})
	}
	before, err := d.sum("pushgate_inbox_overflows_total")
	if err != nil {
		return err
	}
	body := strings.Repeat("x", size)
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		ctx, cancel := context.WithTimeout(d.ctx, time.Second)
		_, err := portal.Post(ctx, body, false, id)
		cancel()
		if err != nil {
			return err
		}
		if err := d.pause(20 * time.Millisecond); err != nil {
			return err
		}
	}
	after, err := d.sum("pushgate_inbox_overflows_total")
	if err == nil && after == before {
		err = errors.New("no reader was slow enough to fill its inbox")
	}
	return err
}

// throughProxy makes a third of the crowd connect through a proxy that can stall.
func throughProxy(d *drill) error {
	proxy, err := faulty.New(d.Public)
	if err != nil {
		return err
	}
	d.way = proxy
	for i := range d.crowd.subscribers {
		if i%3 == 0 {
			d.crowd.subscribers[i].Address = proxy.Addr()
		}
	}
	return nil
}

// vanish makes three hundred connections fall silent without an end, and those of the crowd behind
// the proxy. The edges must notice. Then the latter are cut, and their clients come back.
func vanish(d *drill) error {
	const clients = 300
	portal := d.Portals[0]
	var lost []net.Conn
	defer func() {
		for _, conn := range lost {
			conn.Close()
		}
	}()
	for i := range clients {
		id := d.crowd.channels[i%len(d.crowd.channels)]
		conn, err := d.upgrade([]string{d.Public, d.Edges[i%3].Addr}[i/3%2], portal.Signed(id)+"&clientId="+portal.ClientID)
		if err != nil {
			return err
		}
		lost = append(lost, conn)
	}
	const ended = `pushgate_session_ends_total{reason="ping_timeout"}`
	d.way.Strand()
	defer d.way.Cut()
	return d.Nginx.Await(d.ctx, func(context.Context) error {
		n, err := d.sum(ended)
		if err == nil && n < clients {
			err = fmt.Errorf("of %d clients that are gone %v were found out", clients, n)
		}
		return err
	})
}

// storm kills an edge, and makes two thousand sessions besides the crowd, each with five missed
// messages, connect to the other edges at once.
func storm(d *drill) error {
	d.Edges[0].Kill()
	portal := d.Portals[1]
	var pids []int
	for _, p := range d.Edges[1:] {
		pids = append(pids, int(p.pid.Load()))
	}
	signer, err := load.NewSigner("sha1", portal.Keys[0])
	if err != nil {
		return err
	}
	report, err := load.Run(d.ctx, load.Options{Scenario: "return", Sub: []string{d.Public}, Pub: []string{d.Internal}, Signer: signer, Sign: true,
		ClientID: portal.ClientID, Connections: 2000, Missed: 5, PIDs: pids, StorePIDs: []int{int(d.Redis.pid.Load())}}, nil)
	if err == nil {
		report.Write(os.Stderr)
		err = report.Correct()
	}
	return errors.Join(err, d.Edges[0].Start(d.ctx))
}

// sum adds up a series of all edges.
func (d *drill) sum(series string) (total float64, err error) {
	for _, p := range d.Edges {
		n, err := p.Metric(d.ctx, series)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// floods makes four clients send frames as fast as they are read, commands of their dialect and
// nonsense. They come back when they are disconnected.
func floods(d *drill) error {
	for i := range 4 {
		portal, id := d.Portals[i%len(d.Portals)], NewChannel()
		frame := []string{"ping", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "mack:" + beginning, strings.Repeat("x", 4096)}[i]
		address := "ws://" + d.Public + "/bitrix/subws/?CHANNEL_ID=" + portal.Signed(id) + "&clientId=" + portal.ClientID + []string{"&jsonRpc=true", "&jsonRpc=true", "&jsonRpc=true", ""}[i]
		d.beside.Go(func() {
			for d.noise.Err() == nil {
				conn, _, err := websocket.Dial(d.noise, address, nil)
				if err != nil {
					d.rest(100 * time.Millisecond)
					continue
				}
				d.beside.Go(func() {
					for {
						if _, _, err := conn.Read(d.noise); err != nil {
							return
						}
					}
				})
				for err == nil {
					err = conn.Write(d.noise, websocket.MessageText, []byte(frame))
				}
				conn.CloseNow()
				d.rest(10 * time.Millisecond)
			}
		})
	}
	return d.pause(6 * time.Second)
}

// slowSenders makes hundreds of connections, to nginx and to the programs, that send handshakes and
// posts at a byte in half a second.
func slowSenders(d *drill) error {
	const senders = 400
	portal, id := d.Portals[0], NewChannel()
	get := "GET /bitrix/subws/?CHANNEL_ID=" + portal.Signed(id) + "&clientId=" + portal.ClientID + " HTTP/1.1\r\nHost: h\r\n"
	post := "POST /bitrix/pub/?CHANNEL_ID=" + id.String() + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
	for i := range senders {
		to, text := []string{d.Public, d.Edges[i%3].Addr}[i/2%2], get+"X-Slow: "
		if i%2 == 0 {
			to, text = []string{d.Internal, d.Publishers[i%2].Addr}[i/2%2], post
		}
		d.beside.Go(func() {
			for d.noise.Err() == nil {
				conn, err := net.Dial("tcp", to)
				if err != nil {
					d.rest(100 * time.Millisecond)
					continue
				}
				_, err = io.WriteString(conn, text)
				for err == nil && d.noise.Err() == nil {
					d.rest(500 * time.Millisecond)
					_, err = io.WriteString(conn, "x")
				}
				conn.Close()
			}
		})
	}
	return d.pause(8 * time.Second)
}

// rest waits for a time, or until the row ends.
func (d *drill) rest(t time.Duration) {
	select {
	case <-d.noise.Done():
	case <-time.After(t):
	}
}

// upgrade makes a WebSocket without the library, with a small receive buffer.
func (d *drill) upgrade(addr, query string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_, err = io.WriteString(conn, "GET /bitrix/subws/?CHANNEL_ID="+query+" HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 101"))
	if err == nil {
		_, err = io.ReadFull(conn, head)
	}
	if err == nil && string(head) != fmt.Sprintf("HTTP/1.1 %d", http.StatusSwitchingProtocols) {
		err = fmt.Errorf("%q", head)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func timeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
