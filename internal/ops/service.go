package ops

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/version"
)

// Bounds of a connection. There is no time limit for an answer: a long poll rests, and handlers
// that need one set it.
const (
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is above nginx's keepalive_timeout of 60 s, so that nginx closes first.
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 64 << 10
)

// defaultGrace is how long a part may take to end after the drain.
const defaultGrace = 5 * time.Second

// Port serves the connections of a listener; an [http.Server] is one.
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
}

// Leaving is how a service ends.
type Leaving struct {
	// Drain asks sessions to leave, and returns when they have left or its context ends. It may be
	// nil.
	Drain   func(context.Context)
	Timeout time.Duration // bound of Drain
	// Grace is how long requests, and then Run, may take to end after Drain; 0 is 5 s.
	Grace time.Duration
}

// Serve works until ctx ends or a part fails, and then leaves in this order: readiness says
// "draining"; the listener is closed; sessions are drained; requests that are still being answered
// have a grace period; Run's context ends, and Serve waits for Run; the admin port is closed. Serve
// returns nil if ctx ended, and otherwise the first failure.
func (s Service) Serve(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	// Also without a Reload, and already while the service starts: by default SIGHUP ends the
	// process.
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reloads := newReloads()
	s.Admin.Registry.MustRegister(reloads)
	defer s.Admin.Registry.Unregister(reloads)
	if s.Bind == nil {
		s.Bind = Listen
	}
	listener, err := s.Bind(s.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer listener.Close()
	var draining atomic.Bool
	admin, err := s.listenAdmin(&draining)
	if err != nil {
		return fmt.Errorf("%s: admin port: %w", s.Name, err)
	}

	alive, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	running, endRun := context.WithCancel(context.WithoutCancel(ctx))
	defer endRun()
	ended := make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() {
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
	listener.Close()
	s.drain(context.WithoutCancel(ctx))
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

// NewPort makes a port for handler: a server with limits, whose refused heads are counted with
// registry, and whose errors are logged.
func NewPort(handler http.Handler, registry prometheus.Registerer, logger *slog.Logger) *http.Server {
	server := newServer(handler, logger)
	newRefused(registry).watch(server)
	return server
}

func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(complaints{logger}, "", 0),

		DisableGeneralOptionsHandler: true, // to the handler, OPTIONS * is one more unknown path
	}
}

// complaints takes the lines that net/http logs. What clients do wrong is logged at debug level; a
// panic of a handler is an error.
type complaints struct{ logger *slog.Logger }

// Write implements [io.Writer]; each call is one line.
func (c complaints) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic serving")) {
		level = slog.LevelError
	}
	c.logger.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}

func (s Service) drain(ctx context.Context) {
	if s.Leaving.Drain == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Leaving.Timeout)
	defer cancel()
	s.Leaving.Drain(ctx)
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
