package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	adminVariable = "PUSHGATE_ADMIN_LISTEN"
	healthTimeout = 3 * time.Second
)

// newHealth returns the command that a container's health check runs: there is no shell in the
// image and no HTTP client.
func newHealth(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the program of this container whether it is ready",
		Long: "Ask for /readyz at " + adminVariable + ", and fail unless the answer is 200. It is the health check of the image: " +
			"the program that is asked must have been started with the same variable.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return health(c.Context(), w.getenv(adminVariable))
		},
	}
}

// health returns nil if the admin port that was told to listen on address says that its program is
// ready.
func health(ctx context.Context, address string) error {
	network, target := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, target = "unix", path
	} else {
		_, port, err := net.SplitHostPort(address)
		if err != nil || port == "" || port == "0" {
			return fmt.Errorf("%s is %q: set it to an address with a port, such as 127.0.0.1:9090", adminVariable, address)
		}
		target = reachable(address)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/readyz", nil)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, target)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", response.StatusCode)
	}
	return nil
}

// arguments returns the arguments of a program that was called as argv. Called by the name edge or
// publisher, as the image's links do, it is that sub-command.
func arguments(argv []string) []string {
	switch name := filepath.Base(argv[0]); name {
	case "edge", "publisher":
		return append([]string{name}, argv[1:]...)
	}
	return argv[1:]
}
