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

// Bounds of a connection. There is no time limit for an answer: a long poll rests, and handlers that need one set it.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 75 * time.Second // above nginx's keepalive_timeout of 60 s, so that nginx closes first
	maxHeaderBytes    = 64 << 10
)

// defaultGrace is how long a part may take to end after it was told to, after the drain.
const defaultGrace = 5 * time.Second

// Port serves the connections of a listener; an [http.Server] is one.
type Port interface {
	// Serve serves connections until the listener is closed, and returns a non-nil error.
	Serve(net.Listener) error
	// Shutdown returns when no request is being answered any more, or with the error of its context.
	Shutdown(context.Context) error
	// Close cuts all connections.
	Close() error
}

// Service is one program at work: a port, a goroutine beside it, an admin port, and the order in
// which they leave. Name, Port, Listen, Logger and Admin.Registry are required.
type Service struct {
	Name   string
	Port   Port
	Listen string // address of Port, for Bind

	Ready  func() error                // returns why the service cannot do its work; nil is always ready
	Run    func(context.Context) error // works until its context ends; ending before is a failure. nil is none
	Reload func() error                // at each SIGHUP; after an error all is as before. nil is nothing
	Logger *slog.Logger

	Admin   Admin
	Leaving Leaving

	Bind    func(address string) (net.Listener, error) // nil is [Listen]
	Started func(addr, admin net.Addr)                 // called once, when the service listens; admin may be nil
}

// Admin is the port for operators.
type Admin struct {
	Listen   string               // its address, for Bind; "" is no port
	Registry *prometheus.Registry // what it serves at /metrics; reloads are counted with it
	Details  func() []string      // lines that /readyz?verbose adds; nil is none
}

// Leaving is how a service ends.
type Leaving struct {
	Drain   func(context.Context) // asks sessions to go, and returns when they are gone or its context ends; nil is none
	Timeout time.Duration         // bound of Drain
	Grace   time.Duration         // how long requests, and then Run, may take to end after that; 0 is 5 s
}

// Serve works until ctx ends or a part fails, and then leaves in this order: readiness says "draining", the listener is
// closed, sessions are drained, requests that are still being answered have a grace, Run's
// context ends and Run is waited for, the admin port is closed. It returns nil if ctx ended, and the first failure else.
func (s Service) Serve(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // whether there is a Reload or not: its default effect would end the process, also while it starts
	defer signal.Stop(hangups)
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
	parts.Go(func() { s.reload(running, hangups) })
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
	if late != nil { // the goroutine is abandoned, and so is the process: Serve is the last thing that it does
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

		DisableGeneralOptionsHandler: true, // OPTIONS * is a path like others, and none of ours
	}
}

// complaints takes the lines that net/http logs: what clients do wrong, which is their business, and panics of handlers, which
// are ours.
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

// shutdown lets requests end that are being answered, and cuts them off after a grace.
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
		return fmt.Errorf("%s: still running %v after it was told to end", s.Name, s.grace())
	}
}
