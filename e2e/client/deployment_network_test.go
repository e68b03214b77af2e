package client

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

// machine is the address of a machine that runs the push server itself.
const machine = "10.20.0.5"

// isolate makes a bridge for containers, and directories in the place of those that installations
// write to. It is for a process with a network and mounts of its own.
func isolate(t *testing.T, dir string) {
	t.Helper()
	shell(t, "ip link set lo up", "ip addr add "+machine+"/32 dev lo",
		"ip link add br0 type bridge", "ip addr add 172.18.0.254/16 dev br0", "ip link set br0 up",
		"cp -a /etc "+dir+"/etc || true", // not all of it may be readable
		"mkdir -p "+dir+"/etc/pushgate", "mount --bind "+dir+"/etc /etc", "mount -t tmpfs none /var/lib", "mount -t tmpfs none /run")
}

// shell runs commands until one of them fails, which ends the test.
func shell(t *testing.T, commands ...string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", strings.Join(commands, "\n")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", commands, err, out)
	}
}

// subnet is the network of one deployment. Each container has its own, in which programs listen on
// every address and at the ports that their variables name, as in Docker. So no name, address or
// port is another one than in the deployment.
type subnet struct {
	*testing.T
	containers map[string]string // addresses
	hosts      map[string]string // addresses by name
}

// links is how many links to containers there have been.
var links int

// newSubnet returns a network without containers. It is removed after the test.
func newSubnet(t *testing.T) *subnet {
	n := &subnet{t, map[string]string{}, map[string]string{"localhost": "127.0.0.1"}}
	t.Cleanup(func() {
		for name := range n.containers {
			shell(t, "ip netns del "+name)
		}
	})
	return n
}

// container makes a container that is not there yet. The address may be empty.
func (n *subnet) container(name, address string) {
	n.Helper()
	if n.containers[name] != "" {
		return
	}
	if address == "" {
		address = fmt.Sprintf("172.18.0.%d", 100+len(n.containers))
	}
	ip := net.ParseIP(address).To4()
	links++ // the kernel removes those of an earlier row in its own time
	link := fmt.Sprintf("veth%d", links)
	// As in Docker, a container that is replaced by one with the same address has the same MAC.
	mac := fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3])
	shell(n.T, "ip netns add "+name, "ip link add "+link+" type veth peer name eth0 address "+mac+" netns "+name, "ip link set "+link+" master br0 up",
		"ip -n "+name+" addr add "+address+"/16 dev eth0", "ip -n "+name+" link set eth0 up", "ip -n "+name+" link set lo up")
	n.containers[name] = address
	n.name(name, address)
}

// name makes a name known to all.
func (n *subnet) name(name, address string) {
	n.Helper()
	n.hosts[name] = address
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(n.hosts)) {
		fmt.Fprintf(&text, "%s %s\n", n.hosts[name], name)
	}
	if err := os.WriteFile("/etc/hosts", []byte(text.String()), 0o644); err != nil {
		n.Fatal(err)
	}
	// Go's own resolver remembers the file for some seconds.
	testkit.Eventually(n.T, name+" is known", func() bool {
		found, err := net.LookupHost(name)
		return err == nil && slices.Contains(found, address)
	})
}

// inside returns the command that runs a program in a container, or on the machine if the name is
// empty, with exactly these variables.
func inside(container string, env []string, argv ...string) []string {
	if path, err := exec.LookPath(argv[0]); err == nil {
		argv = append([]string{path}, argv[1:]...)
	}
	clean := append(append([]string{"env", "-i"}, env...), argv...)
	if container == "" {
		return clean
	}
	return append([]string{"nsenter", "--net=/run/netns/" + container}, clean...)
}
