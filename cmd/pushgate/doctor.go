package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pushgate/internal/adopt/shellvars"
	"pushgate/internal/config"
	"pushgate/internal/doctor"
	"pushgate/internal/store"
)

// packagedEnv is where the packages have the settings.
const packagedEnv = "/etc/pushgate/pushgate.env"

// maxBody is the longest body of a post that is looked at, in bytes.
const maxBody = 8 << 20

// doctorFlags are the flags of the command.
type doctorFlags struct {
	doctor.Options
	env, body, lang string
	json            bool
}

// newDoctor returns the command that checks an installation.
func newDoctor(w world) *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation, and say what to do about what is wrong",
		Long: "Look at Redis, nginx, the limits of this machine, the processes, keys and other programs as an experienced operator would, and print each finding " +
			"with its remedy. With --portal also publish and receive through the public addresses. It takes half a minute at most and changes nothing.\n\n" +
			"With --measure it takes two minutes at most. It then opens up to 2,000 WebSockets, but not more than a twentieth of what is free of descriptors, memory, ports and connections of nginx, " +
			"on channels of its own at the portal's address, or without --portal at the edges; it publishes up to 50 messages a second to them; " +
			"and it computes from what that costs how many users each limit allows. It stops at once when a connection or a post is refused, a process is not ready or messages become late, " +
			"and leaves nothing behind but messages of a minute's life.\n\n" +
			"The settings are those of the environment. If it has none, they are read from " + packagedEnv + ". Run it as root on the machine of nginx and the processes; " +
			"what it cannot look at is reported as unknown.\n\n" +
			"The exit code is 0 if nothing is wrong, 1 if there are warnings, and 2 if there are errors or nothing could be checked.",
		Example: "  pushgate doctor --portal https://portal.example.com\n  pushgate doctor --sample \"$CHANNEL_ID\" --lang ru\n  pushgate doctor --json\n  pushgate doctor --measure --portal https://portal.example.com",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := runDoctor(c.Context(), w, f)
			if _, ended := err.(exitCode); err == nil || ended {
				return err
			}
			fmt.Fprintf(w.stderr, "%s: %v\n", c.CommandPath(), err)
			return exitCode(2)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.Portal, "portal", "", "public address of the portal; publish and receive through it")
	flags.StringVar(&f.Publish, "publish", "http://127.0.0.1:8895/bitrix/pub/", "with --portal: the portal's path_to_publish")
	flags.StringVar(&f.Nginx, "nginx", "", "file with the output of nginx -T, instead of running it")
	flags.StringSliceVar(&f.Admin, "admin", nil, "admin ports of all processes, instead of those that run on this machine")
	flags.StringVar(&f.Sample, "sample", "", "a CHANNEL_ID of the portal, or an address with one: find out which key signed it")
	flags.StringVar(&f.body, "body", "", "file with the body of a post, whose signature is --sample")
	flags.StringVar(&f.env, "env", "", "file with the settings of the processes, instead of the environment")
	flags.DurationVar(&f.Measure, "measure", 0, "also open connections and publish for so long, to find out how many users this installation holds and what gives way first: from 2s to 90s")
	flags.Lookup("measure").NoOptDefVal = doctor.LongestMeasure.String()
	flags.StringVar(&f.lang, "lang", "", "en or ru, instead of the language of LANG")
	flags.BoolVar(&f.json, "json", false, "print JSON for programs")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"en", "ru"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// runDoctor checks and prints. An error is an exitCode, or why nothing could be
// checked.
func runDoctor(ctx context.Context, w world, f doctorFlags) error {
	if f.lang != "" && f.lang != "en" && f.lang != "ru" {
		return fmt.Errorf("--lang is %q, want en or ru", f.lang)
	}
	lang := doctor.ParseLang(cmp.Or(f.lang, w.getenv("LC_ALL"), w.getenv("LC_MESSAGES"), w.getenv("LANG")))
	var err error
	if f.Environ, err = w.settings(f.env); err != nil {
		return err
	}
	if f.body != "" {
		if f.Body, err = readSome(f.body); err != nil {
			return err
		}
	}
	f.Root = "/"
	store.LogTo(slog.New(slog.DiscardHandler)) // the report says what is wrong with Redis
	report, err := doctor.Run(ctx, f.Options)
	if err != nil {
		return err
	}
	print := report.Text
	if f.json {
		print = report.JSON
	}
	if err := print(w.stdout, lang); err != nil {
		return err
	}
	if code := report.ExitCode(); code != 0 {
		return exitCode(code)
	}
	return nil
}

// settings returns the environment, with the variables of a file in the place of pushgate's own. An
// empty name is the file of the packages, if there is one and the environment has none of ours.
func (w world) settings(name string) ([]string, error) {
	ours := func(pair string) bool { return strings.HasPrefix(pair, config.Prefix) }
	optional := name == ""
	if optional {
		if name = packagedEnv; slices.ContainsFunc(w.environ, ours) {
			return w.environ, nil
		}
	}
	text, err := readSome(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return w.environ, nil
	}
	if err != nil {
		return nil, err
	}
	environ := slices.DeleteFunc(slices.Clone(w.environ), ours)
	vars, bad := shellvars.Parse(text)
	if len(bad) > 0 {
		return nil, fmt.Errorf("%s: %w", name, bad[0])
	}
	for _, v := range vars {
		environ = append(environ, v.Name+"="+v.Value)
	}
	return environ, nil
}

// readSome reads a file of a bounded size.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBody))
}
