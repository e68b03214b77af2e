package main

import (
	"github.com/spf13/cobra"

	"pushgate/internal/adopt"
)

// newAdopt returns the command that plans the change from the server that pushgate replaces.
func newAdopt(w world) *cobra.Command {
	var o adopt.Options
	c := &cobra.Command{
		Use:   "adopt",
		Short: "Plan the change from the original push server, and the way back",
		Long: "Read how the push server that pushgate replaces is set up, and print a plan in plain words: what is wrong today, what will run, " +
			"what changes in nginx and in the portal, what to run to change and to go back. It changes nothing. With --out it writes the files of the plan into a directory of their own. " +
			"Keys are in files that only their owner can read, and in no output.",
		Example: "  pushgate adopt --root /\n  pushgate adopt --root . --options pull.tsv --out ./pushgate",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return adopt.Run(c.Context(), o, w.stdout) },
	}
	c.Flags().StringVar(&o.Root, "root", "/", "root of a machine, or the directory of a compose file or of manifests")
	c.Flags().StringVar(&o.OptionsFile, "options", "", "the portal's options, if no .settings.php below the root has them: such a file, or a dump of the rows of module pull in b_option")
	c.Flags().StringVar(&o.Out, "out", "", "directory to write the files to: a new one, or one that adopt has written")
	return c
}
