package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"pushgate/internal/config"
	"pushgate/internal/doctor"
	"pushgate/internal/explain"
	"pushgate/internal/server"
	"pushgate/internal/store"
)

// explainFlags are the flags of the command.
type explainFlags struct {
	portal, env, lang string
	json              bool
	follow            time.Duration
}

// newExplain returns the command that says what became of a message.
func newExplain(w world) *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain MESSAGE|CHANNEL|USER|LIST|TOKEN",
		Short: "Say what became of a message, or what is known of a channel, a user or a signed list",
		Long: "Ask all processes what they remember, and the log in Redis what it holds: who accepted a message and when, how long it lives and by which rule, " +
			"which edges were notified of it, to which connections it was written and when, and if not, why. What nobody knows is said, too. Bodies are not shown.\n\n" +
			"A message is an id of 26 digits, a channel has 32 characters, and a user of version 5 is user:NUMBER. A list is a CHANNEL_ID, or a line of a log with one.\n\n" +
			"The settings are those of the environment. If it has none, they are read from " + packagedEnv + ".",
		Example: "  pushgate explain 17000000000000000000000042\n  pushgate explain user:17 --follow 1m\n  pushgate explain \"$CHANNEL_ID\" --lang ru",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return runExplain(c, w, f, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.portal, "portal", "", "name of the portal, its clientId, if there are several")
	flags.StringVar(&f.env, "env", "", "file with the settings of the processes, instead of the environment")
	flags.StringVar(&f.lang, "lang", "", "en or ru, instead of the language of LANG")
	flags.BoolVar(&f.json, "json", false, "print JSON for programs")
	flags.DurationVar(&f.follow, "follow", 0, "follow a user or a channel live, for so long; at most 10m")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"en", "ru"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func runExplain(c *cobra.Command, w world, f explainFlags, text string) error {
	if f.lang != "" && f.lang != "en" && f.lang != "ru" {
		return fmt.Errorf("--lang is %q, want en or ru", f.lang)
	}
	lang := explain.English
	if doctor.ParseLang(cmp.Or(f.lang, w.getenv("LC_ALL"), w.getenv("LC_MESSAGES"), w.getenv("LANG"))) == doctor.Russian {
		lang = explain.Russian
	}
	environ, err := w.settings(f.env)
	if err != nil {
		return err
	}
	cfg, err := config.LoadEdge(environ)
	if err != nil {
		return err
	}
	table, err := cfg.Portals()
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler) // the answer says what is not known
	store.LogTo(quiet)
	st, closeStore, err := server.Open(cfg.Common, quiet, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer closeStore()
	x := server.NewExplainer(st, table, quiet)
	encoder := json.NewEncoder(w.stdout)
	if f.follow > 0 {
		return x.Trace(c.Context(), text, f.portal, "shell", time.Now().Add(f.follow), func(s explain.Step) {
			if f.json {
				_ = encoder.Encode(s)
			} else {
				_ = s.Text(w.stdout, lang)
			}
		}, func() error { return nil })
	}
	report, err := x.Explain(c.Context(), text, f.portal, "shell")
	switch {
	case err != nil:
		return err
	case f.json:
		return encoder.Encode(report)
	default:
		return report.Text(w.stdout, lang)
	}
}
