package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pushgate/internal/server"
	"pushgate/internal/version"
)

// newRoot returns the command line: every sub-command is one line here. Help, completion and manual
// pages are made from it. It sets no template of cobra's: these link text/template, with which the
// linker keeps all methods of all types, 12 MB of the binary.
func newRoot(w world) *cobra.Command {
	root := &cobra.Command{
		Use:           "pushgate",
		Short:         "Push server for web portals",
		Long:          "A push server for web portals, and a replacement for the Bitrix24 push server. The programs that serve are told what to do by environment variables.",
		Version:       version.Get().String(),
		RunE:          func(*cobra.Command, []string) error { return errors.New("no command") },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	root.AddCommand(
		newProgram(w, "serve", "Run an edge and a publisher in one process on one port", serveText, server.RunServe),
		newProgram(w, "edge", "Hold the connections of subscribers and deliver to them", edgeText, server.RunEdge),
		newProgram(w, "publisher", "Take the posts of portals into the log", publisherText, server.RunPublisher),
		newDev(w),
		newSign(w),
		newPub(w),
		newSub(w),
		newTail(w),
		newLoad(w),
		newAdopt(w),
		newMirror(w),
		newHealth(w),
		newRevoke(w),
		newDoctor(w),
		newExplain(w),
		newVersion(w),
		newMan(w),
	)
	for _, c := range root.Commands() {
		c.RunE = failing(c.RunE)
	}
	return root
}

// failing marks the errors of a command that was called in the right way.
func failing(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c, args)
		if _, ended := err.(exitCode); err == nil || ended {
			return err
		}
		return failure{err}
	}
}

const (
	serveText = "Run an edge and a publisher in one process on one port, over a real Redis. That is enough for a portal of a few hundred people, with or without nginx. " +
		"Subscribers may come from anywhere. Posts without a signature are taken from the networks of PUSHGATE_PUBLISH_ALLOW only."
	edgeText      = "Hold the connections of subscribers and deliver to them. It is the same as the program edge."
	publisherText = "Take the posts of portals into the log. It is the same as the program publisher."
)

// newProgram returns the command that runs a program that serves. It has no flags: its settings are
// environment variables, which its manual page lists.
func newProgram(w world, name, short, long string, run func(environ []string) int) *cobra.Command {
	return &cobra.Command{
		Use:         name,
		Short:       short,
		Long:        long + "\n\nIts settings are environment variables.",
		Version:     version.Get().String(),
		Args:        cobra.NoArgs,
		Annotations: map[string]string{variablesOf: name},
		RunE: func(*cobra.Command, []string) error {
			if code := run(w.environ); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}

func newVersion(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and its date, and the version of Go",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(w.stdout, "pushgate version", version.Get()) // as the flag --version does
			return nil
		},
	}
}
