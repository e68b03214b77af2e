package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/ops"
	"pushgate/internal/redisurl"
	"pushgate/internal/server"
	"pushgate/internal/store"
	"pushgate/internal/urlpath"
)

// devLeave is how long subscribers may keep Ctrl-C waiting, and then requests and connections that
// browsers hold in reserve.
const devLeave = 700 * time.Millisecond

// newDev returns the command that runs the whole server in one process until ctx ends.
func newDev(w world) *cobra.Command {
	var listen, redisURL string
	var verbose bool
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run publisher, edge and Redis in one process, with a page to try them on",
		Long: "Run a publisher, an edge and a Redis in memory in one process, with a page to try them on. Nothing is kept when it ends. " +
			"It is for development, not for a portal in use: that is what serve is for.\n\n" +
			"The variables of serve count here too, except for addresses, Redis and logs.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8893", "`address` for the page, subscribers and publishers")
	c.Flags().StringVar(&redisURL, "redis", "", "`URL` of a Redis to use instead of the embedded one, as in PUSHGATE_REDIS_URL")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log everything, not only warnings")
	c.RunE = func(c *cobra.Command, _ []string) error {
		level := slog.LevelWarn
		if verbose {
			level = slog.LevelDebug
		}
		return runDev(c.Context(), w, listen, redisURL, ops.NewLogger(w.stderr, "text", level))
	}
	return c
}

func runDev(ctx context.Context, w world, listen, redisURL string, logger *slog.Logger) error {
	store.LogTo(logger)
	dev, err := newDevServer(redisURL, w.environ, logger)
	if err != nil {
		return err
	}
	defer dev.close()
	err = dev.serve(ctx, listen, func(address string) { banner(w, dev, address, redisURL) })
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: is another one running? --listen 127.0.0.1:0 takes any free port", err)
	}
	return err
}

// banner says where the page is, and shows both sides of the protocol with lines that work.
func banner(w world, dev *devServer, host, redisURL string) {
	c := dev.page.config(host)
	redis := "embedded, forgets everything at the end"
	if address, err := redisurl.Parse(redisURL); err == nil {
		redis = strings.Join(address.Hosts, ", ")
	}
	fmt.Fprintf(w.stdout, `
  pushgate dev: publisher, edge and Redis (%s) in one process

  Look:       http://%s/

  Subscribe (a long poll, answered by the next message):
  curl '%s?CHANNEL_ID=%s'

  Publish:
  curl -X POST '%s?CHANNEL_ID=%s' -H 'Message-Expiry: 60' --data-binary '{"module_id":"im","command":"message","params":{"text":"hi"}}'

  From another shell, with the same settings:
  export %s
  pushgate sub %s
  pushgate tail %s
  pushgate pub %[6]s '{"module_id":"im","command":"message","params":{"text":"hi"}}'

  Ctrl-C ends it.

`, redis, host, c.Poll, c.ChannelID, c.Publish, c.Channels["private"].ID, strings.Join(dev.settings(host), " "), dev.page.private.Signed(), dev.page.private.Private)
}

// settings returns the variables by which another command finds d. A key of the environment is not
// among them.
func (d *devServer) settings(host string) []string {
	all := []string{config.Prefix + "LISTEN=" + host}
	if d.redis != nil {
		all = append(all, config.Prefix+"REDIS_URL="+d.redis.URL())
	}
	if d.key != "" {
		all = append(all, config.Prefix+"KEYS="+d.key)
	}
	return all
}

// devServer is a publisher and an edge over one log.
type devServer struct {
	redis    *embedded // nil if a real one is used
	both     *server.Both
	page     *page
	key      string // the one that was made up; empty if the environment has one
	registry *prometheus.Registry
	logger   *slog.Logger
	closers  []func() // in the order of opening
}

var errManyPortals = errors.New("this is for one portal, and " + config.Prefix + "PORTALS names others")

// newDevServer makes a server over the Redis at redisURL, or over an embedded one if that is empty,
// with the settings of environ. Without a key there it makes one up. The server must be closed.
func newDevServer(redisURL string, environ []string, logger *slog.Logger) (_ *devServer, err error) {
	set := world{environ: environ}.getenv
	key := ""
	if set(config.Prefix+"KEYS") == "" && set(config.Prefix+"PORTALS") == "" {
		key = rand.Text()
		environ = append(environ[:len(environ):len(environ)], config.Prefix+"KEYS="+key)
	}
	cfg, err := config.LoadServe(environ)
	if err != nil {
		return nil, err
	}
	portals, err := cfg.Portals()
	if err != nil {
		return nil, err
	}
	if portals.Shared() {
		return nil, errManyPortals
	}
	d := &devServer{key: key, logger: logger, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if redisURL == "" {
		if d.redis, err = startEmbedded(); err != nil {
			return nil, err
		}
		d.closers = append(d.closers, d.redis.Close)
		redisURL = d.redis.URL()
	}
	cfg.RedisURL, cfg.Drain = redisURL, devLeave/10
	st, closeStore, err := server.Open(cfg.Common, logger, d.registry)
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, closeStore)
	d.both = server.NewBoth(cfg, portals, st, nil, logger, d.registry)
	d.page = &page{
		signer:   portals.Personal().Signer,
		private:  channel.Ref{Private: randomID(), Public: randomID()},
		shared:   channel.Ref{Private: randomID()},
		ttlRules: cfg.TTLRules.String(),
		metrics:  d.registry,
	}
	if cfg.Grammar == channel.Alphanumeric {
		d.page.private.Public = channel.ID{} // which that generation does not know
	}
	return d, nil
}

func randomID() channel.ID {
	var b [channel.IDLen / 2]byte
	rand.Read(b[:])
	return channel.FromBytes(b)
}

func (d *devServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", ownPage(d.both))
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := d.both.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	d.page.register(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if urlpath.Ambiguous(r.URL) { // mux would answer with the path that it makes of this one
			http.NotFound(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ownPage makes requests of this server's own page look like those of no page, from which
// publishers take posts without a signature. The page must be known by an address or as localhost,
// which nobody else's name can be made to resolve to.
func ownPage(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		own := name == "localhost" || net.ParseIP(strings.Trim(name, "[]")) != nil
		origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
		if own && (origin == "" || origin == "http://"+r.Host) && (site == "" || site == "same-origin") {
			r.Header.Del("Origin")
			r.Header.Del("Sec-Fetch-Site")
		}
		handler.ServeHTTP(w, r)
	})
}

// serve serves at an address until ctx ends, then tells subscribers to go, and returns within twice
// devLeave. It calls started with the address that browsers can use. An error means that it ended
// by itself.
func (d *devServer) serve(ctx context.Context, listen string, started func(address string)) error {
	port := ops.NewPort(d.handler(), d.registry, d.logger)
	leaving := d.both.Leaving(port, devLeave)
	leaving.Grace = devLeave
	return ops.Service{
		Name:    "dev",
		Port:    port,
		Listen:  listen,
		Ready:   d.both.Ready,
		Run:     d.run,
		Logger:  d.logger,
		Admin:   ops.Admin{Registry: d.registry},
		Leaving: leaving,
		Started: func(address, _ net.Addr) { started(reachable(address.String())) },
	}.Serve(ctx)
}

// run runs the edge and the publisher, and lets time pass in the embedded Redis for as long as they
// run, and a little longer.
func (d *devServer) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	clock, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if d.redis != nil {
		running.Go(func() { d.redis.Run(clock) })
	}
	return d.both.Run(ctx)
}

// reachable returns the address that a client on this machine can use of a server that listens at
// address.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (d *devServer) close() {
	for _, closer := range d.closers {
		defer closer()
	}
}
