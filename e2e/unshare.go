package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Unshared runs tests of this binary once more, in a network and with mounts of their own and with
// more variables, so that addresses, ports and paths can be those of somebody's installation. A
// failure there is one of t. The pattern is that of -test.run.
func Unshared(t *testing.T, pattern string, env ...string) {
	t.Helper()
	flags := []string{"--net", "--mount", "--propagation", "private"}
	if os.Getuid() != 0 {
		flags = append(flags, "--map-root-user")
	}
	if out, err := exec.Command("unshare", append(flags, "ip", "link", "set", "lo", "up")...).CombinedOutput(); err != nil {
		Missing(t, fmt.Sprintf("no network of one's own can be made (Debian: util-linux, iproute2): %v %s", err, out))
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(flags, os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout=5m")...)
	// The resolver that reads /etc/hosts each time.
	cmd.Env = append(append(os.Environ(), "GODEBUG=netdns=cgo"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}
