package storetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// Redis is a redis-server for one test, on a free port of the loopback, without persistence.
type Redis struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
	out  *testkit.Buffer
}

const (
	startTimeout  = 20 * time.Second // of a server, on a machine that is busy
	answerTimeout = 5 * time.Second
)

// StartRedis starts a redis-server that ends with the test. args are further options of its command
// line. If the program is not installed, the test is skipped, or fails if the environment has
// CI=true.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	return startServer(t, append([]string{"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"}, args...)...)
}

// startServer starts redis-server with these arguments.
func startServer(t testing.TB, args ...string) *Redis {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed (Debian: apt-get install redis-server)")
	}
	// The port is free now. If somebody else takes it before the server does, the next try finds
	// another.
	r := &Redis{t: t}
	for try := 0; ; try++ {
		r.addr = freeAddr(t)
		_, port, _ := net.SplitHostPort(r.addr)
		r.args = append(append([]string{program}, args...), "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir())
		err := r.start()
		if err == nil {
			break
		}
		if try == 2 {
			t.Fatalf("start redis-server: %v\n%s", err, r.out.String())
		}
	}
	t.Cleanup(r.Stop)
	return r
}

func freeAddr(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Addr returns the server's host and port.
func (r *Redis) Addr() string { return r.addr }

// URL returns the server's address in the form that the store opens.
func (r *Redis) URL() string { return "redis://" + r.addr }

// Stop kills the server at once, as a crash of its machine would. It does nothing if the server is
// not running.
func (r *Redis) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// Start starts the server again, at the same address and empty.
func (r *Redis) Start() {
	r.t.Helper()
	if err := r.start(); err != nil {
		r.t.Fatalf("start redis-server: %v\n%s", err, r.out.String())
	}
}

// CPU returns the processor time that the server has used since it was started.
func (r *Redis) CPU() time.Duration {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = time.Second / 100 // USER_HZ, the same on every Linux
	return time.Duration(user+system) * tick
}

// Do sends one command, as words, on a connection of its own, and returns the reply: its first
// line, or the bulk string.
func (r *Redis) Do(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.addr, answerTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTimeout))
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(word), word)
	}
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	line = strings.TrimSpace(line)
	if size, ok := strings.CutPrefix(line, "$"); ok && err == nil {
		n, _ := strconv.Atoi(size)
		bulk := make([]byte, max(n, 0))
		_, err = io.ReadFull(answer, bulk)
		return string(bulk), err
	}
	return line, err
}

// Must is [Redis.Do] for a command that must succeed. If it fails, the test fails and ends.
func (r *Redis) Must(words ...string) string {
	r.t.Helper()
	answer, err := r.Do(words...)
	if err != nil || strings.HasPrefix(answer, "-") {
		r.t.Fatalf("%q: %s, %v", words, answer, err)
	}
	return answer
}

// AddReplica starts a replica of r, and returns it when it follows r.
func (r *Redis) AddReplica() *Redis {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	replica := StartRedis(r.t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	replica.awaitMaster()
	return replica
}

// awaitMaster waits until a replica follows its master.
func (r *Redis) awaitMaster() {
	r.t.Helper()
	r.await("the replica follows", func() bool { return strings.Contains(r.Must("INFO", "replication"), "master_link_status:up") })
}

// await waits until ok returns true, and fails the test if it takes too long.
func (r *Redis) await(what string, ok func() bool) {
	r.t.Helper()
	if !testkit.Wait(ok) {
		r.t.Fatalf("never: %s\n%s", what, r.out)
	}
}

func (r *Redis) start() error {
	r.out = new(testkit.Buffer)
	cmd := exec.Command(r.args[0], r.args[1:]...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd = cmd
	var info string
	var err error
	switch {
	case !testkit.WaitFor(startTimeout, func() bool { info, err = r.Do("INFO", "server"); return strings.Contains(info, "\nprocess_id:") }):
		r.Stop()
		return fmt.Errorf("no answer to INFO: %w", err)
	// A server of another test took the port first.
	case !strings.Contains(info, fmt.Sprintf("\nprocess_id:%d\r", cmd.Process.Pid)):
		r.Stop()
		return fmt.Errorf("%s is another server's", r.addr)
	}
	return nil
}
