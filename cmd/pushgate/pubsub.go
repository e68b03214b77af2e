package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"pushgate/internal/proto"
	"pushgate/internal/server"
	"pushgate/internal/shell"
	"pushgate/internal/store"
)

// newPub returns the command that posts one message.
func newPub(w world) *cobra.Command {
	var f shellFlags
	var post shell.Post
	var life time.Duration
	c := &cobra.Command{
		Use:   "pub CHANNEL|USER ... BODY|-",
		Short: "Post a message as the portal does, and print its id",
		Long: "Post one message to channels and users, signed with the first key of the portal, and print the id that the log has given it. " +
			"A user is a number, 7 or user:7; a channel is its private id. BODY is a JSON object; a dash reads it from the standard input, " +
			"because other users of the machine see a command line.\n\n" +
			"The exit code is 0 if the log has the message, and 1 with what the publisher said if not." + settingsText,
		Example: "  pushgate pub user:7 '{\"module_id\":\"im\",\"command\":\"message\",\"params\":{\"text\":\"hi\"}}'\n" +
			"  pushgate pub --life 60s --url http://127.0.0.1:9010 6b1f0c2e9a7d4853b0e6f1a2c3d49587 - <body.json",
		Args: cobra.MinimumNArgs(2),
	}
	f.add(c)
	f.addURL(c, "the publisher")
	flags := c.Flags()
	flags.StringVar(&post.Type, "type", "", "`TYPE` of the message, such as im_message, instead of that of the body")
	flags.DurationVar(&life, "life", 0, "how long the message lives, in whole seconds; 0 is only for who is connected. Without it, as long as the rule of its type allows")
	flags.StringVar(&post.Key, "key", "", "idempotency `KEY`: of several posts with the same one in ten minutes, one message is made")
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("life") {
			post.Life = &life
		}
		return pub(c, w, f, post, args[:len(args)-1], args[len(args)-1])
	}
	return c
}

func pub(c *cobra.Command, w world, f shellFlags, post shell.Post, names []string, body string) error {
	in, err := w.installation(f)
	if err != nil {
		return err
	}
	if slices.Contains(names, "-") {
		return errors.New("only the body can come from the standard input")
	}
	if post.To, err = in.names(c.InOrStdin(), names); err != nil {
		return err
	}
	if post.Body = []byte(body); body == "-" {
		if post.Body, err = readAll(c.InOrStdin(), proto.MaxBody); err != nil {
			return err
		}
	}
	if post.Key != "" && in.Window > 0 {
		return errors.New("--key: with PUSHGATE_SIGNATURE_WINDOW a signature has a time, and is itself the key of the post")
	}
	publisher, err := in.server(c.Context(), f, usualPublisher, usualServe)
	if err != nil {
		return err
	}
	defer publisher.Close()
	mid, err := publisher.Publish(c.Context(), in.portal, post)
	switch {
	case err != nil:
		return err
	case f.json:
		err = json.NewEncoder(w.stdout).Encode(struct {
			MID string `json:"mid"`
		}{mid})
	case !f.quiet:
		_, err = fmt.Fprintln(w.stdout, mid)
	}
	return unlessGone(err)
}

// newSub returns the command that is a subscriber.
func newSub(w world) *cobra.Command {
	var f shellFlags
	var transport, since string
	c := &cobra.Command{
		Use:   "sub CHANNEL|USER ...",
		Short: "Subscribe as a client does, and print what comes",
		Long: "Connect to an edge as a client of the portal does, and print each message until Ctrl-C. Lost connections are made again, and go on after the last message, " +
			"so that none is lost and none comes twice. The standard error says what happens to the connection.\n\n" +
			"A channel is a private id, PRIVATE:PUBLIC, or a signed list as clients have it; ids without a signature are signed with the first key of the portal. " +
			"For a user, 7 or user:7, a token is made. A dash reads names from the standard input. The user counts as online meanwhile; pushgate tail reads without that." + settingsText,
		Example: "  pushgate sub 6b1f0c2e9a7d4853b0e6f1a2c3d49587:d41c8e2f7b9a40638c15e0f6a7b3d294\n" +
			"  pushgate sub user:7 --url wss://portal.example.com --transport sse --json",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return sub(c, w, f, transport, since, args) },
	}
	f.add(c)
	f.addURL(c, "the edge")
	flags := c.Flags()
	flags.StringVar(&transport, "transport", shell.Transports[0], "`HOW` to connect: "+strings.Join(shell.Transports, ", "))
	flags.StringVar(&since, "since", "", "`MID` of the last message that is known: print all after it first")
	_ = c.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions(shell.Transports, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func sub(c *cobra.Command, w world, f shellFlags, transport, since string, args []string) error {
	if !slices.Contains(shell.Transports, transport) {
		return fmt.Errorf("--transport is %q, want %s", transport, strings.Join(shell.Transports, ", "))
	}
	if since != "" {
		if _, err := proto.ParseID(since); err != nil {
			return fmt.Errorf("--since: %w", err)
		}
	}
	in, err := w.installation(f)
	if err != nil {
		return err
	}
	names, err := in.names(c.InOrStdin(), args)
	if err != nil {
		return err
	}
	edge, err := in.server(c.Context(), f, usualEdge, usualServe)
	if err != nil {
		return err
	}
	defer edge.Close()
	s := shell.Subscription{Server: edge, Portal: in.portal, Names: names, Transport: transport, Since: since, Print: w.printer(f).Print, Note: w.note(f)}
	return w.untilInterrupted(c.Context(), s.Run)
}

// newTail returns the command that reads the log.
func newTail(w world) *cobra.Command {
	var f shellFlags
	var since string
	t := shell.Tail{}
	c := &cobra.Command{
		Use:   "tail CHANNEL|USER ...",
		Short: "Print what the log holds for channels and users, and follow it",
		Long: "Read the log in the Redis of the environment: the newest messages that it holds for the channels and users, and then each one as it comes, until Ctrl-C. " +
			"Nobody counts as online because of it, and no edge is needed. With --body what people write is shown, too.\n\n" +
			"A channel is a private id, PRIVATE:PUBLIC, or a signed list, whose signatures do not matter here. A user is a number, 7 or user:7. " +
			"A dash reads names from the standard input." + settingsText,
		Example: "  pushgate tail user:7 6b1f0c2e9a7d4853b0e6f1a2c3d49587\n  pushgate tail --since 10m --once --json user:7",
		Args:    cobra.MinimumNArgs(1),
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&since, "since", "", "begin with what is not older than a `DURATION` such as 10m, or after a message, by its mid")
	flags.IntVarP(&t.Last, "last", "n", 20, "print so many of the newest messages of the log first; with --since, all unless this is set")
	flags.BoolVar(&t.Once, "once", false, "print what the log holds, and end")
	flags.BoolVar(&t.Body, "body", false, "print the bodies of the messages")
	c.RunE = func(c *cobra.Command, args []string) error {
		if since != "" && !c.Flags().Changed("last") {
			t.Last = -1
		} else if t.Last < 0 || t.Last > shell.MaxLast {
			return fmt.Errorf("-n is %d, want from 0 to %d", t.Last, shell.MaxLast)
		}
		if err := begin(&t, since); err != nil {
			return err
		}
		return tail(c, w, f, t, args)
	}
	return c
}

// begin sets where a tail begins.
func begin(t *shell.Tail, since string) (err error) {
	if since == "" {
		return nil
	}
	if t.After, err = proto.ParseID(since); err == nil {
		return nil
	}
	age, err := time.ParseDuration(since)
	if err != nil || age <= 0 {
		return errors.New("--since: want a duration such as 10m, or the 26 digits of a message id")
	}
	t.Since = time.Now().Add(-age)
	return nil
}

func tail(c *cobra.Command, w world, f shellFlags, t shell.Tail, args []string) error {
	in, err := w.installation(f)
	if err != nil {
		return err
	}
	names, err := in.names(c.InOrStdin(), args)
	if err != nil {
		return err
	}
	store.LogTo(slog.New(slog.DiscardHandler)) // what is wrong with Redis is said in our own words
	st, closeStore, err := server.Open(in.Common, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer closeStore()
	t.Log, t.Channels, t.Print, t.Note = st.Log(in.portal.Name()), names.Channels(), w.printer(f).Print, w.note(f)
	return w.untilInterrupted(c.Context(), t.Run)
}
