//go:build !linux

package netpoll

import (
	"errors"
	"net"
	"syscall"
)

// poller is empty, because this system has no epoll.
type poller struct{}

// place is empty, because there is no poller.
type place struct{}

func descriptor(net.Conn) syscall.RawConn { return nil }

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) close()                   {}
func (*poller) run()                     {}
func (*poller) arm(*Conn, event) error   { return errors.ErrUnsupported }
func (*poller) forget(*Conn) (was place) { return place{} }
func (*poller) release(*Conn)            {}
