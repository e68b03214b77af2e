//go:build !linux

package handover

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// Succession does not exist on this system: a hand-over passes descriptors as only Linux does.
type Succession struct{}

// Open always fails.
func Open(string, func(address string) (net.Listener, error), *slog.Logger) (*Succession, error) {
	return nil, errors.ErrUnsupported
}

// Listen is never called.
func (*Succession) Listen(string) (net.Listener, error) { return nil, errors.ErrUnsupported }

// Run is never called.
func (*Succession) Run(context.Context, Edge, func()) error { return errors.ErrUnsupported }
