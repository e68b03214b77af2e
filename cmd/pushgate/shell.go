package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/config"
	"pushgate/internal/original"
	"pushgate/internal/portal"
	"pushgate/internal/shell"
)

// Where a process listens if nothing says otherwise: an edge, a publisher, and both in one.
const (
	usualEdge      = "127.0.0.1:8010"
	usualPublisher = "127.0.0.1:9010"
	usualServe     = "127.0.0.1:8893"
)

const (
	shellLeave = 700 * time.Millisecond // how long Ctrl-C waits for what cannot be interrupted
	maxNames   = 1 << 20                // bytes of names on the standard input
)

// shellFlags are those of pub, sub and tail.
type shellFlags struct {
	env, portal string
	url         string // not of tail
	json, quiet bool
}

func (f *shellFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.env, "env", "", "`FILE` with the settings of the processes, instead of the environment")
	flags.StringVar(&f.portal, "portal", "", "client `ID` of the portal, where PUSHGATE_PORTALS names several")
	flags.BoolVar(&f.json, "json", false, "print an object of JSON on each line")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "say nothing on the standard error but why it failed")
}

func (f *shellFlags) addURL(c *cobra.Command, of string) {
	c.Flags().StringVar(&f.url, "url", "", "`URL` of "+of+", with a host and no path, or unix:/PATH; the default is PUSHGATE_LISTEN, or else the usual port on this machine")
}

// settingsText is the end of the help of all three.
const settingsText = "\n\nThe keys are those of the environment, which may be that of the server that pushgate replaces. If it has none of pushgate's variables, they are read from " +
	packagedEnv + "."

// installation is the settings of the environment, and one portal of them.
type installation struct {
	config.Publisher
	portal *portal.Portal
	listen string // PUSHGATE_LISTEN; empty if it is not set
}

// installation reads the settings. Those of a publisher are enough: an edge has the same Redis and
// keys.
func (w world) installation(f shellFlags) (in installation, err error) {
	environ, err := w.settings(f.env)
	if err != nil {
		return in, err
	}
	translated, err := original.Translate(environ)
	if err != nil {
		return in, err
	}
	if in.Publisher, err = config.LoadPublisher(translated.Environ); err != nil {
		return in, err
	}
	in.listen = world{environ: translated.Environ}.getenv(config.Prefix + "LISTEN")
	portals, err := in.Portals()
	if err != nil {
		return in, err
	}
	switch {
	case f.portal == "" && portals.Personal() != nil, f.portal == portal.Default:
		in.portal = portals.Personal()
	case f.portal == "" && len(portals.All()) == 1:
		in.portal = portals.All()[0]
	case f.portal == "":
		return in, fmt.Errorf("%sPORTALS names %d portals: say which with --portal", config.Prefix, len(portals.All()))
	case portals.Shared():
		in.portal = portals.Find(f.portal)
	}
	if in.portal == nil {
		return in, fmt.Errorf("--portal: the settings have no portal of this client id")
	}
	return in, nil
}

// server returns the server that is asked: that of --url, or that of the settings, or else one of
// those that are usual.
func (in installation) server(ctx context.Context, f shellFlags, usual ...string) (*shell.Server, error) {
	address, from := f.url, "--url"
	if address == "" {
		address, from = in.listen, config.Prefix+"LISTEN"
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%s: the path of a socket is not absolute (unix:/run/pushgate/edge.sock)", from)
		}
		return shell.Open(&url.URL{Scheme: "unix", Path: path}), nil
	}
	switch {
	case f.url != "":
		u, err := serverURL("url", overHTTP(f.url))
		if err != nil {
			return nil, err
		}
		return shell.Open(u), nil
	case in.listen != "":
		address = reachable(in.listen)
	default:
		address = shell.Listening(ctx, usual...)
	}
	return shell.Open(&url.URL{Scheme: "http", Host: address}), nil
}

// overHTTP returns the address of a WebSocket server as one of HTTP, which is the same.
func overHTTP(address string) string {
	for ws, scheme := range map[string]string{"ws://": "http://", "wss://": "https://"} {
		if rest, ok := strings.CutPrefix(address, ws); ok {
			return scheme + rest
		}
	}
	return address
}

// names reads the channels and users of a command line. A dash stands for those on the standard
// input: other users of the machine see a command line.
func (in installation) names(stdin io.Reader, args []string) (shell.Names, error) {
	var words []string
	for _, arg := range args {
		if arg != "-" {
			words = append(words, arg)
			continue
		}
		text, err := readAll(stdin, maxNames)
		if err != nil {
			return shell.Names{}, err
		}
		words = append(words, strings.Fields(string(text))...)
	}
	if len(words) == 0 {
		return shell.Names{}, errors.New("no channel and no user")
	}
	return shell.ParseNames(words, in.Grammar)
}

// readAll reads at most so many bytes of the standard input.
func readAll(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("the standard input has more than %d bytes", most)
	}
	return text, err
}

// printer returns what prints messages on the standard output.
func (w world) printer(f shellFlags) *shell.Printer {
	return &shell.Printer{Out: w.stdout, JSON: f.json, Color: w.getenv("NO_COLOR") == "" && w.getenv("TERM") != "dumb" && isTerminal(w.stdout)}
}

// isTerminal reports whether what is written is seen at once. /dev/null counts, too.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// note returns what says on the standard error what happens to a connection.
func (w world) note(f shellFlags) func(format string, args ...any) {
	if f.quiet {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) { fmt.Fprintf(w.stderr, "* "+format+"\n", args...) }
}

// untilInterrupted runs what prints until ctx ends, and waits for it only for a moment after. A
// reader of the output that has gone is no error: it has seen what it wanted.
func (w world) untilInterrupted(ctx context.Context, run func(context.Context) error) error {
	ctx, cancel := whileRead(ctx, w.stdout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	select {
	case err := <-done:
		return unlessGone(err)
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return unlessGone(err)
	case <-time.After(shellLeave):
		return nil
	}
}

func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
