package mirror

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/ops"
)

// DefaultListen is the address that the proxy listens on if none is set.
const DefaultListen = "127.0.0.1:9020"

// defaultMaxPayload is the limit of a body, in bytes, as in a publisher.
const defaultMaxPayload = 1 << 20

// Options are those of the proxy that [Run] runs. Primary and Mirror are required.
type Options struct {
	Listen string // "host:port" or "unix:/path"; empty is [DefaultListen]
	// The server whose answers count: scheme, host, and perhaps a user and password.
	Primary *url.URL
	Mirror  *url.URL // likewise, the server that gets copies of what the primary has accepted
	// Address of the admin port with /livez, /readyz and /metrics; empty is none.
	AdminListen string
	// Most bytes of a post's body; 0 is 1 MiB. Posts of version 5 may have four times as many.
	MaxPayload int64
	Logger     *slog.Logger
	Registry   *prometheus.Registry // of the metrics; nil is a new one
	Started    func(addr net.Addr)  // called once, when the proxy listens; nil is nothing
}

// Run runs a proxy for posts until ctx ends: it passes each request on to the primary server,
// returns its answer, and sends copies of accepted posts to the mirror. If the primary does not
// answer, the connection is closed without an answer.
func Run(ctx context.Context, o Options) error {
	if o.Primary.Host == o.Mirror.Host {
		return errors.New("primary and mirror are the same server")
	}
	if listen := cmp.Or(o.Listen, DefaultListen); o.Primary.Host == listen || o.Mirror.Host == listen {
		return errors.New("the proxy listens at the address of the primary or of the mirror: it would send posts to itself")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	registry := o.Registry
	if registry == nil {
		registry = ops.NewRegistry()
	}
	m := New(Config{URL: o.Mirror, Logger: o.Logger}, registry)
	p := newProxy(o.Primary, cmp.Or(o.MaxPayload, defaultMaxPayload), m, registry)
	defer p.close()
	port := ops.NewPort(p, registry, o.Logger)
	return ops.Service{
		Name:   "mirror",
		Listen: cmp.Or(o.Listen, DefaultListen),
		Port:   port,
		Run: func(ctx context.Context) error {
			m.Run(ctx)
			return nil
		},
		Admin:   ops.Admin{Listen: o.AdminListen, Registry: registry},
		Leaving: ops.Leaving{Retire: port.Retire, Timeout: 10 * time.Second, Grace: 10 * time.Second},
		Logger:  o.Logger,
		Started: func(addr, _ net.Addr) {
			if o.Started != nil {
				o.Started(addr)
			}
		},
	}.Serve(ctx)
}
