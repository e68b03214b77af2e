package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/sign"
)

// signList prints a CHANNEL_ID that subscribers of the given channels may use.
func signList(_ context.Context, w world, args []string) error {
	flags := flag.NewFlagSet("sign", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: PUSHGATE_KEYS=KEY pushgate sign PRIVATE[:PUBLIC] ...\nPUSHGATE_SIGNATURE_ALGO counts too.")
	}
	if err := parse(flags, w, args); err != nil {
		return err
	}
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
	refs, err := settings.Grammar.ParseList(strings.Join(flags.Args(), "/"), flags.NArg())
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
