package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/ops"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/testkit"
)

// The memory of connections at rest is measured on an edge in a process of its own, because here it
// would be mixed up with that of the clients:
//
//	go test -run '^$' -bench Idle -benchtime 1x ./internal/edge
//
// idleServer in the environment makes the test binary that process; idleConnections is the number
// of connections.
const (
	idleServer      = "PUSHGATE_IDLE_SERVER"
	idleConnections = "PUSHGATE_IDLE_CONNECTIONS"
	idleProfile     = "PUSHGATE_IDLE_PROFILE" // a directory for heap profiles of the server

	idleDialers    = 16 // clients that connect at a time
	idleGoroutines = 8  // of all idle connections together, at most
)

// quietLog is an empty log in which nothing happens.
type quietLog struct{}

func (quietLog) Histories(_ context.Context, questions []proto.Question) []proto.Answer {
	return make([]proto.Answer, len(questions))
}
func (quietLog) Append(context.Context, ...*proto.Message) ([]proto.Receipt, error) { return nil, nil }
func (quietLog) Follow(ctx context.Context, f proto.Follower) error {
	f.Resync(proto.ID{Sequence: 1})
	<-ctx.Done()
	return nil
}
func (quietLog) SetPresence(context.Context, string, []proto.Presence, bool) ([]proto.Status, bool, error) {
	return nil, true, nil
}
func (quietLog) Revocations(context.Context, proto.ID) (revoke.List, proto.ID, error) {
	return nil, proto.ID{}, nil
}
func (quietLog) PutProcess(context.Context, proto.Process) error    { return nil }
func (quietLog) Processes(context.Context) ([]proto.Process, error) { return nil, nil }
func (quietLog) DropProcess(context.Context, string) error          { return nil }

// idleReport is what the server reports about itself.
type idleReport struct {
	RSS, Live, Stacks uint64 // bytes
	Goroutines        int
	Held              int // connections
}

// serveIdle is the server's process. It ends when its standard input is closed.
func serveIdle() {
	if os.Getenv(idleProfile) != "" {
		runtime.MemProfileRate = 4096
	}
	ops.CollectAt(GCPercent)
	table, err := portal.NewTable(&portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 100}})
	if err != nil {
		panic(err)
	}
	e := New(Config{ID: "edge-1", PollTimeout: 10 * time.Minute, PingInterval: 25 * time.Second, Drain: time.Second, Origins: []string{"*"}},
		table, func(string) Log { return quietLog{} }, quietLog{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	go e.Run(context.Background())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/report", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(report(e)) })
	mux.HandleFunc("/collect", func(w http.ResponseWriter, r *http.Request) {
		runtime.GC() // pools drop what was not used between two collections
		debug.FreeOSMemory()
		if dir := os.Getenv(idleProfile); dir != "" {
			f, _ := os.Create(filepath.Join(dir, "heap.pprof"))
			pprof.Lookup("heap").WriteTo(f, 0)
			f.Close()
		}
		json.NewEncoder(w).Encode(report(e))
	})
	reports, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr(), reports.Addr())
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	go http.Serve(reports, mux)
	e.Serve(listener)
}

func report(e *Edge) idleReport {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	numbers := &e.personal().numbers
	r := idleReport{Live: m.HeapAlloc, Stacks: m.StackInuse, Goroutines: runtime.NumGoroutine(), Held: int(numbers.webSockets.Load() + numbers.polls.Load())}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			r.RSS = kb << 10
		}
	}
	return r
}

// upgradeHeaders make a request for a WebSocket.
const upgradeHeaders = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

func BenchmarkIdleWebSockets(b *testing.B) { benchmarkIdle(b, "/bitrix/subws/", upgradeHeaders) }

func BenchmarkHeldPolls(b *testing.B) { benchmarkIdle(b, "/bitrix/sub/", "") }

func benchmarkIdle(b *testing.B, path, headers string) {
	connections := 8000
	if n, err := strconv.Atoi(os.Getenv(idleConnections)); err == nil {
		connections = n
	}
	for b.Loop() {
		empty, after3s, collected := measureIdle(b, path, headers, connections, 3*time.Second)
		b.ReportMetric(float64(empty.RSS)/(1<<20), "MB-empty")
		for when, r := range map[string]idleReport{"3s": after3s, "collected": collected} {
			each := r.since(empty, connections)
			b.ReportMetric(each.rss, "RSS-B/"+when)
			b.ReportMetric(each.live, "heap-B/"+when)
			b.ReportMetric(each.stacks, "stack-B/"+when)
			b.ReportMetric(each.goroutines, "goroutines/"+when)
		}
	}
}

// perConnection is what each connection has added to a report.
type perConnection struct{ rss, live, stacks, goroutines float64 }

func (r idleReport) since(empty idleReport, connections int) perConnection {
	each := func(now, before uint64) float64 { return (float64(now) - float64(before)) / float64(connections) }
	return perConnection{each(r.RSS, empty.RSS), each(r.Live, empty.Live), each(r.Stacks, empty.Stacks),
		each(uint64(r.Goroutines), uint64(empty.Goroutines))}
}

// measureIdle returns the reports of a server: without connections, with them after a while, and
// then after a garbage collection.
func measureIdle(tb testing.TB, path, headers string, connections int, wait time.Duration) (empty, after, collected idleReport) {
	ask, address := startIdleServer(tb)
	ask("/report")
	empty = ask("/report")
	all := make([]net.Conn, connections)
	var dialers sync.WaitGroup
	for d := range idleDialers {
		dialers.Go(func() {
			for i := d; i < connections; i += idleDialers {
				all[i] = openIdle(tb, address, path, headers, i)
			}
		})
	}
	dialers.Wait()
	// The server may still be at work on what the clients have sent.
	testkit.Wait(func() bool {
		now := ask("/report")
		return now.Held == connections && now.Goroutines <= empty.Goroutines+idleGoroutines
	})
	time.Sleep(wait)
	after, collected = ask("/report"), ask("/collect")
	if collected.Held != connections {
		tb.Errorf("%d of %d connections are held", collected.Held, connections)
	}
	for _, conn := range all {
		if conn != nil {
			conn.Close()
		}
	}
	return empty, after, collected
}

// openIdle asks for a WebSocket, or a poll if headers are empty, as a browser does.
func openIdle(b testing.TB, address, path, headers string, i int) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return nil
	}
	mine := signer.Sign(channel.Ref{Private: numbered(1, i), Public: numbered(2, i)}).String()
	fmt.Fprintf(conn, "GET %s?CHANNEL_ID=%s&clientId=1&revision=19 HTTP/1.1\r\nHost: push.test\r\nOrigin: https://portal.example.com\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n"+
		"Accept-Encoding: gzip, deflate, br\r\n%s\r\n", path, mine, headers)
	if headers == "" {
		return conn
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		b.Error(response, err)
	}
	return conn
}

// numbered returns the id of a user: the i-th of a kind.
func numbered(kind byte, i int) channel.ID {
	return channel.FromBytes([16]byte{kind, byte(i >> 16), byte(i >> 8), byte(i)})
}

func startIdleServer(b testing.TB) (ask func(path string) idleReport, address string) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), idleServer+"=1")
	command.Stderr = os.Stderr
	stdin, _ := command.StdinPipe()
	stdout, _ := command.StdoutPipe()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		command.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	var reports string
	if _, err := fmt.Fscan(stdout, &address, &reports); err != nil {
		b.Fatal(err)
	}
	return func(path string) (r idleReport) {
		response, err := http.Get("http://" + reports + path)
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
			b.Fatal(err)
		}
		return r
	}, address
}
