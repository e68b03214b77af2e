//go:build !linux || 386 || s390x

package socket

import (
	"net"
	"syscall"
)

// Wrap returns c itself: only Linux has the calls.
func Wrap(c net.Conn) net.Conn { return c }

// Quiet reports false, because it cannot know.
func Quiet(syscall.RawConn) bool { return false }

// TrySend writes nothing.
func TrySend(uintptr, []byte) (int, error) { return 0, nil }

// TryRecv reads nothing.
func TryRecv(uintptr, []byte) (n int, ok bool, err error) { return 0, false, nil }
