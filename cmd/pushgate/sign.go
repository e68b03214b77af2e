package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/sign"
)

// newSign returns the command that prints a CHANNEL_ID, which subscribers of the given channels may
// use.
func newSign(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "sign PRIVATE[:PUBLIC] ...",
		Short: "Sign channel ids with PUSHGATE_KEYS, as a portal does",
		Long: "Print a CHANNEL_ID with which a client can subscribe to the given channels. " +
			"PUSHGATE_KEYS is the portal's key, and PUSHGATE_SIGNATURE_ALGO the algorithm.",
		Example: "  PUSHGATE_KEYS=KEY pushgate sign 6b1f0c2e9a7d4853b0e6f1a2c3d49587",
		RunE:    func(_ *cobra.Command, ids []string) error { return signList(w, ids) },
	}
}

func signList(w world, ids []string) error {
	settings, err := config.LoadEdge(w.environ)
	if err != nil {
		return err
	}
	portals, err := settings.Portals()
	if err != nil {
		return err
	}
	if portals.Personal() == nil {
		return errManyPortals
	}
	refs, err := settings.Grammar.ParseList(strings.Join(ids, "/"), len(ids))
	if err != nil {
		return fmt.Errorf("%w: an id is 32 lower-case hexadecimal digits", err)
	}
	fmt.Fprintln(w.stdout, signed(portals.Personal().Signer, refs...))
	return nil
}

// signed returns refs as a signed CHANNEL_ID.
func signed(signer *sign.Signer, refs ...channel.Ref) string {
	parts := make([]string, len(refs))
	for i, ref := range refs {
		parts[i] = signer.Sign(ref).String()
	}
	return strings.Join(parts, "/")
}
