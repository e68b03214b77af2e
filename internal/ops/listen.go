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

// withoutProbes listens without TCP keep-alive. Package net would probe each idle peer every 15
// seconds, which is nearly seven thousand probes a second for a hundred thousand connections at
// rest. A dead connection is noticed without them: the client always has a deadline, to send
// something, to answer a ping, or to take what is sent.
//
// Nor with Multipath TCP, which package net would use: nginx has no second path, and such a socket
// cannot be closed without resetting connections (see closeEmpty).
var withoutProbes = func() (c net.ListenConfig) {
	c.KeepAlive = -1
	c.SetMultipathTCP(false)
	return c
}()

// Listen listens at "host:port" or "unix:/path". It replaces a socket file that a dead process
// left. It is an error if a process listens at the file, or if the file is not a socket. Closing
// the listener removes the socket file. TCP connections have no keep-alive (RFC 1122, 4.2.3.6).
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

// removeStale removes the socket file at path if no process listens at it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("file exists and is not a socket")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return syscall.EADDRINUSE
	}
	// Any other error, such as that of a full backlog, does not mean that the process is dead.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
