package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// socketMode lets the owner and the group of a unix socket connect.
const socketMode = 0o660

// withoutProbes listens for connections without TCP's own probes of idle peers, which net would send every 15 seconds: for a hundred
// thousand connections at rest, nearly seven thousand a second. Who serves a connection knows without them when it is dead: all have a time by which
// the client is to send something, a ping to answer, or an answer to take.
var withoutProbes = net.ListenConfig{KeepAlive: -1}

// Listen listens at "host:port" or "unix:/path". A socket file that a dead process left is replaced; one that somebody
// listens at, or a file that is no socket, is an error. Closing the listener removes the socket file. Connections have no keep-alive (RFC 1122, 4.2.3.6).
func Listen(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return withoutProbes.Listen(context.Background(), "tcp", address)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		listener.Close()
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return listener, nil
}

// removeStale removes the socket file at path if nobody listens at it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return syscall.EADDRINUSE
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // a full backlog, say, is no sign of death
		return err
	}
	return os.Remove(path)
}
