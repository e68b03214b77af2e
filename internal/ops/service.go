package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/version"
)

// defaultGrace is how long a part may take to end after the drain.
const defaultGrace = 5 * time.Second

// Port serves the connections of a listener; an [HTTPPort] is one.
type Port interface {
	// Serve serves connections until the listener is closed, and returns a non-nil error.
	Serve(net.Listener) error
	// Shutdown returns when no request is being answered any more, or with the error of its
	// context.
	Shutdown(context.Context) error
	// Close cuts all connections.
	Close() error
}

// Service is one program at work: a port, a goroutine beside it, an admin port, and the order in
// which they end. Name, Port, Listen, Logger and Admin.Registry are required.
type Service struct {
	Name   string
	Port   Port
	Listen string // address of Port, for Bind

	// Ready returns why the service cannot do its work, or nil. Without it the service is always
	// ready. Requests call it concurrently.
	Ready func() error
	// Run works until its context ends; to return earlier is a failure. It may be nil.
	Run func(context.Context) error
	// Reload is called at each SIGHUP. It must change nothing if it fails. It may be nil.
	Reload func() error
	Logger *slog.Logger

	Admin   Admin
	Leaving Leaving

	Bind func(address string) (net.Listener, error) // nil is [Listen]
	// Started is called once, when the service listens. Without an admin port, admin is nil.
	Started func(addr, admin net.Addr)
}

// Admin is the port for operators.
type Admin struct {
	Listen   string               // its address, for Bind; "" for no admin port
	Registry *prometheus.Registry // what it serves at /metrics; reloads are counted with it
	Details  func() []string      // lines that /readyz?verbose adds; nil is none
	Guard    *admin.Guard         // serves what needs a token; nil is nothing
}

// Leaving is how a service ends.
type Leaving struct {
	// Retire is called while the service still accepts connections. It returns when the service
	// can stop that without losing a request, or when its context ends. It may be nil.
	Retire func(context.Context)
	// Drain asks sessions to leave, and returns when they have left or its context ends. It may be
	// nil.
	Drain   func(context.Context)
	Timeout time.Duration // bound of Retire, and of Drain
	// Grace is how long requests, and then Run, may take to end after Drain; 0 is 5 s.
	Grace time.Duration
}

// Serve works until ctx ends or a part fails, and then leaves in this order: readiness says
// "draining"; the port retires; the listener is closed, when what has connected is accepted;
// sessions are drained; requests that are still being answered have a grace period; Run's context
// ends, and Serve waits for Run; the admin port is closed. Serve returns nil if ctx ended, and
// otherwise the first failure.
func (s Service) Serve(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	// Also without a Reload, and already while the service starts: by default SIGHUP ends the
	// process.
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reloads, closed := newReloads(), newAdminClosed()
	s.Admin.Registry.MustRegister(reloads, closed)
	defer s.Admin.Registry.Unregister(reloads)
	defer s.Admin.Registry.Unregister(closed)
	if s.Bind == nil {
		s.Bind = Listen
	}
	listener, err := s.Bind(s.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer listener.Close()
	var draining atomic.Bool
	admin, err := s.listenAdmin(&draining, closed)
	if err != nil {
		return fmt.Errorf("%s: admin port: %w", s.Name, err)
	}

	alive, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	running, endRun := context.WithCancel(context.WithoutCancel(ctx))
	defer endRun()
	ended, accepted := make(chan struct{}), make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() {
		defer close(accepted)
		if err := s.Port.Serve(listener); !draining.Load() {
			fail(fmt.Errorf("%s: serve: %w", s.Name, err))
		}
	})
	admin.serve(&parts, func(err error) { fail(fmt.Errorf("%s: admin port: %w", s.Name, err)) })
	parts.Go(func() {
		defer close(ended)
		if s.Run == nil {
			<-running.Done()
			return
		}
		switch err := s.Run(running); {
		case running.Err() == nil:
			fail(fmt.Errorf("%s: %w", s.Name, cmp.Or(err, errEarly)))
		case err != nil && !errors.Is(err, context.Canceled):
			s.Logger.Warn("shutdown error", "service", s.Name, "error", err)
		}
	})
	parts.Go(func() { s.reload(running, hangups, reloads) })
	s.Logger.Info("serving", "service", s.Name, "address", listener.Addr().String(), "admin", admin.name(), "build", version.Get())
	if s.Started != nil {
		s.Started(listener.Addr(), admin.addr())
	}

	<-alive.Done()
	cause := context.Cause(alive)
	s.Logger.Info("leaving", "service", s.Name, "cause", cause.Error())
	draining.Store(true)
	s.bounded(context.WithoutCancel(ctx), s.Leaving.Retire)
	_ = closeEmpty(listener)
	<-accepted // so that the port knows of all connections
	s.bounded(context.WithoutCancel(ctx), s.Leaving.Drain)
	s.shutdown(context.WithoutCancel(ctx))
	endRun()
	late := s.await(ended)
	admin.close()
	if late != nil { // the goroutine is left behind; the process ends after Serve
		return late
	}
	parts.Wait()
	s.Logger.Info("stopped", "service", s.Name)
	if cause == context.Cause(ctx) {
		return nil
	}
	return cause
}

var (
	errEarly    = errors.New("stopped unexpectedly")
	errDraining = errors.New("draining")
)

// bounded calls a step of leaving, which may be nil, with a context that ends in time.
func (s Service) bounded(ctx context.Context, step func(context.Context)) {
	if step == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Leaving.Timeout)
	defer cancel()
	step(ctx)
}

// shutdown waits for requests that are being answered, and cuts them off after a grace period.
func (s Service) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.grace())
	defer cancel()
	if err := s.Port.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		s.Logger.Warn("requests cut off", "service", s.Name, "after", s.grace().String())
		_ = s.Port.Close()
	}
}

func (s Service) grace() time.Duration { return cmp.Or(s.Leaving.Grace, defaultGrace) }

func (s Service) await(ended <-chan struct{}) error {
	late := time.NewTimer(s.grace())
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
		return fmt.Errorf("%s: still running %v after its context ended", s.Name, s.grace())
	}
}
