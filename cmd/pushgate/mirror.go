package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/compare"
	"pushgate/internal/config"
	"pushgate/internal/mirror"
	"pushgate/internal/ops"
)

// newMirror returns the command that copies what another server accepts, and below it the one that
// compares two servers.
func newMirror(w world) *cobra.Command {
	var primary, other string
	o := mirror.Options{}
	c := &cobra.Command{
		Use:   "mirror",
		Short: "Pass posts on to one push server, and copies of them to another",
		Long: "Pass each request on to the primary server and return its answer. Send a copy of each post that it accepted to the mirror. " +
			"Whatever the mirror does, the portal's posts go on. docs/mirror.md says how to move from one server to the other with it.",
		Example: "  pushgate mirror --primary http://127.0.0.1:9010 --mirror http://127.0.0.1:9110",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Primary, err = serverURL("primary", primary); err != nil {
				return err
			}
			if o.Mirror, err = serverURL("mirror", other); err != nil {
				return err
			}
			o.Logger = ops.NewLogger(w.stderr, "text", slog.LevelInfo)
			return mirror.Run(c.Context(), o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.Listen, "listen", mirror.DefaultListen, "`ADDRESS` to listen on: host:port or unix:/path")
	flags.StringVar(&o.AdminListen, "admin-listen", "", "`ADDRESS` of /livez, /readyz and /metrics; none if it is not set")
	flags.StringVar(&primary, "primary", "", "`URL` of the server whose answers count")
	flags.StringVar(&other, "mirror", "", "`URL` of the server that gets the copies")
	flags.Int64Var(&o.MaxPayload, "max-payload", 1<<20, "most `BYTES` of a post; four times as many in version 5")
	requireFlags(c, "primary", "mirror")
	c.AddCommand(newCompare(w))
	return c
}

// newCompare returns the command that compares what two servers send.
func newCompare(w world) *cobra.Command {
	var a, b, file string
	o := compare.Options{Out: w.stdout}
	c := &cobra.Command{
		Use:   "compare",
		Short: "Report what one of two push servers sends and the other does not",
		Long: "Subscribe to two servers with the same signed ids, and compare the published texts byte for byte and in order. " +
			"Ids and times of messages differ between servers by nature and are not compared. The exit code is 1 if there is a difference. " +
			"The users of the ids count as online meanwhile.",
		Example: "  pushgate mirror compare --a http://127.0.0.1:8010 --b http://127.0.0.1:8110 --ids ids.txt --for 10m",
		Args:    cobra.NoArgs,
		RunE: failing(func(c *cobra.Command, _ []string) error {
			var err error
			if o.A, err = serverURL("a", a); err != nil {
				return err
			}
			if o.B, err = serverURL("b", b); err != nil {
				return err
			}
			if file != "" {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				ids, err := compare.ReadIDs(f)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				o.IDs = append(o.IDs, ids...)
			}
			result, err := compare.Run(c.Context(), o)
			if err == nil && result.Differs() {
				err = errDiffer
			}
			return err
		}),
	}
	flags := c.Flags()
	flags.StringVar(&a, "a", "", "`URL` of one server")
	flags.StringVar(&b, "b", "", "`URL` of the other")
	flags.StringVar(&file, "ids", "", "`FILE` with values of CHANNEL_ID, one on each line")
	flags.StringArrayVar(&o.IDs, "channel-id", nil, "a `VALUE` of CHANNEL_ID; it can be repeated. Other users of the machine see it: prefer --ids")
	flags.StringVar(&o.ClientID, "client-id", "", "the portal's client id, on a server with many portals")
	flags.DurationVar(&o.For, "for", 0, "how long to compare; until Ctrl-C if it is not set")
	flags.DurationVar(&o.Patience, "patience", 10*time.Second, "how long the equal of a message may take")
	flags.BoolVar(&o.Poll, "poll", false, "use long polls; without it, only where a WebSocket is refused")
	requireFlags(c, "a", "b")
	c.MarkFlagsOneRequired("ids", "channel-id")
	return c
}

var errDiffer = errors.New("the servers differ, or an id could not be compared")

// serverURL returns the address that a flag names. The error does not repeat it: it may hold a
// password.
func serverURL(flag, text string) (*url.URL, error) {
	var u config.ServerURL
	if err := u.UnmarshalText([]byte(text)); err != nil {
		return nil, fmt.Errorf("--%s: %w (http://HOST:PORT or https://USER:PASSWORD@HOST, without a path)", flag, err)
	}
	return u.URL(), nil
}

func requireFlags(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
}
