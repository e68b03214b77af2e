package main

import (
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"pushgate/internal/config"
	"pushgate/internal/version"
)

// variablesOf is the annotation of a command that names the program whose environment variables it
// reads.
const variablesOf = "variables"

// newMan returns the command that writes the manual pages. It is for those who make packages.
func newMan(w world) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE:   func(_ *cobra.Command, args []string) error { return writeManual(newRoot(w), args[0]) },
	}
}

// writeManual writes a page for a command and each of its sub-commands. A build that knows its
// commit writes the same bytes every time.
func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root.InitDefaultCompletionCmd()
	for _, c := range append(root.Commands(), root) {
		c.DisableAutoGenTag = true
		if program := c.Annotations[variablesOf]; program != "" {
			c.Long += "\n\n# ENVIRONMENT\n\n" + environment(program)
		}
	}
	build := version.Get()
	// Of this month.
	header := &doc.GenManHeader{Section: "1", Source: "pushgate " + build.Version, Manual: "pushgate"}
	if date, err := time.Parse(time.RFC3339, build.Date); err == nil {
		header.Date = &date
	}
	return doc.GenManTree(root, header, dir)
}

// link is one of Markdown. On a page of the manual only its text is of use.
var link = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)

// environment returns the variables of a program as a definition list.
func environment(program string) (text string) {
	for _, v := range config.Variables(program) {
		text += fmt.Sprintf("**%s** (default: %s)\n: %s\n\n", v.Name, v.Default, link.ReplaceAllString(v.Meaning, "$1"))
	}
	return text
}
