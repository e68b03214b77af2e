// Package wsclient has what the WebSocket clients of our own commands share.
package wsclient

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/wait"
)

// pingInterval is the time between two pings, and how long an answer may take.
const pingInterval = 20 * time.Second

// KeepAlive closes a connection that does not answer pings. It returns when ctx ends.
func KeepAlive(ctx context.Context, conn *websocket.Conn) {
	for ctx.Err() == nil {
		wait.For(ctx, pingInterval)
		ping, cancel := context.WithTimeout(ctx, pingInterval)
		if conn.Ping(ping) != nil {
			conn.CloseNow()
		}
		cancel()
	}
}
