//go:build !linux || 386 || s390x

package socket

import (
	"net"
	"syscall"
)

// Wrap gives c itself: only Linux has the calls.
func Wrap(c net.Conn) net.Conn { return c }

// Quiet reports false: nothing is known.
func Quiet(syscall.RawConn) bool { return false }
