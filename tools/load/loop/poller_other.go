//go:build !linux

package loop

import (
	"net/netip"
	"time"
)

type event struct {
	fd                         int
	generation                 uint32
	readable, writable, broken bool
}

// poller stands for the one of Linux, so that the rest of the program can be built and used.
type poller struct{}

func newPoller() (*poller, error)                        { return nil, ErrUnsupported }
func (*poller) close()                                   {}
func (*poller) next() uint32                             { return 0 }
func (*poller) add(int, uint32) error                    { return ErrUnsupported }
func (*poller) modify(int, uint32, bool, bool) error     { return ErrUnsupported }
func (*poller) wait([]event, time.Duration) (int, error) { return 0, ErrUnsupported }
func dial(netip.AddrPort, netip.Addr) (int, error)       { return 0, ErrUnsupported }
func connectError(int) error                             { return ErrUnsupported }
func brokenError(int) error                              { return ErrUnsupported }
func read(int, []byte) (int, error)                      { return 0, ErrUnsupported }
func write(int, []byte) (int, error)                     { return 0, ErrUnsupported }
func closeFD(int)                                        {}

// Descriptors returns how many descriptors this process may have.
func Descriptors() (uint64, error) { return 0, ErrUnsupported }
