package store

import (
	"context"
	"net"
	"time"

	"pushgate/internal/netpoll/socket"
)

// keepAlive is the interval of TCP's own probes of a connection at rest: go-redis's default.
const keepAlive = 5 * time.Minute

// dialer returns a function that connects to Redis.
func dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: keepAlive}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return socket.SkipCheck(socket.Wrap(c)), nil
	}
}
