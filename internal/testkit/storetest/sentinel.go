package storetest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sentinel is a master and its replica, with a sentinel that watches them, for one test.
type Sentinel struct {
	Servers []*Redis // the master at the start, then its replica
	watch   *Redis
}

// masterName is what the sentinel calls the master.
const masterName = "main"

// StartSentinel starts all three, which end with the test. The sentinel considers a
// master dead after half a second. The test is skipped, or fails, as with [StartRedis].
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := StartRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr())
	replica := master.AddReplica()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %s %s 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 3000\n",
		masterName, host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Sentinel{Servers: []*Redis{master, replica}, watch: startServer(t, conf, "--sentinel")}
	s.watch.await("the sentinel knows the replica", func() bool {
		return strings.Contains(s.watch.Must("INFO", "sentinel"), "slaves=1,")
	})
	return s
}

// URL returns the address of the sentinel in the form that the store opens.
func (s *Sentinel) URL() string { return "redis+sentinel://" + s.watch.Addr() + "/" + masterName }

// Detach makes the replica stop following its master, as a cut between them would. The sentinel
// repairs that after a while.
func (s *Sentinel) Detach() { s.Servers[1].Must("REPLICAOF", "127.0.0.1", "1") }

// Switch makes the replica the master although the master works, and returns when the sentinel
// reports the new one.
func (s *Sentinel) Switch() {
	s.watch.await("a sentinel that trusts the replica", func() bool {
		answer, err := s.watch.Do("SENTINEL", "FAILOVER", masterName)
		return err == nil && answer == "+OK"
	})
	_, port, _ := net.SplitHostPort(s.Servers[1].Addr())
	s.watch.await("the failover", func() bool {
		return strings.Contains(s.watch.Must("INFO", "sentinel"), ":"+port+",")
	})
}
