package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoise sends random requests and frames, most of them almost valid, to nginx and to the
// programs. They stay up and ready, nothing panics, and afterwards they free the memory.
func TestNoise(t *testing.T) {
	total := scale(t, "E2E_NOISE", 10_000, 1_500)
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, Env: []string{"PUSHGATE_LOG_LEVEL=debug"},
		EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=300ms", "PUSHGATE_DRAIN=100ms"}})
	programs := append(w.Edges, w.Publishers...)
	var upgraded atomic.Int64
	noise := func(n int) {
		const senders = 32
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(sender), uint64(n)))
				for range n / senders {
					if w.disturb(random) {
						upgraded.Add(1)
					}
				}
			})
		}
		wg.Wait()
	}
	noise(total / 10) // pools and caches fill up
	before := usage(t, programs)
	noise(total)

	for i, p := range programs {
		err := p.Await(t.Context(), func(ctx context.Context) error {
			if _, err := get(ctx, p.Admin+"/readyz"); err != nil {
				return err
			}
			for _, series := range []string{`pushgate_connections{transport="longpoll"}`, `pushgate_connections{transport="websocket"}`, "pushgate_channels"} {
				if n, err := p.Metric(ctx, series); err != nil || n != 0 {
					return fmt.Errorf("%s %v, %v", series, n, err)
				}
			}
			n, err := p.Metric(ctx, "go_goroutines")
			if err == nil && n > before[i].goroutines+8 {
				err = fmt.Errorf("%v goroutines, %v before", n, before[i].goroutines)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	slack := 32e6
	if raceBuilt() {
		slack *= 4 // the detector remembers
	}
	for i, after := range usage(t, programs) {
		t.Logf("%s: goroutines %v, then %v; resident %.1f MB, then %.1f MB", programs[i].Name, before[i].goroutines, after.goroutines,
			before[i].resident/1e6, after.resident/1e6)
		if after.resident > before[i].resident+slack {
			t.Errorf("%s keeps its memory", programs[i].Name)
		}
	}
	t.Logf("%d WebSockets among %d connections", upgraded.Load(), total+total/10)
	if upgraded.Load() < int64(total/20) {
		t.Error("hardly any noise reached the WebSockets")
	}
	// The service still works.
	SelfTest(t, w)
}

type use struct{ goroutines, resident float64 }

func usage(t *testing.T, programs []*Process) (all []use) {
	t.Helper()
	for _, p := range programs {
		goroutines, err := p.Metric(t.Context(), "go_goroutines")
		if err != nil {
			t.Fatal(err)
		}
		resident, err := p.Metric(t.Context(), "process_resident_memory_bytes")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, use{goroutines, resident})
	}
	return all
}

// disturb makes one connection, sends one request, reads a little, and closes the connection. It
// reports whether that became a WebSocket, on which it has sent frames too.
func (w *World) disturb(random *rand.Rand) (upgraded bool) {
	to := []string{w.Public, w.Internal, w.Edges[0].Addr, w.Publishers[0].Addr}[random.IntN(4)]
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return upgraded
	}
	defer conn.Close()
	if random.IntN(4) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0) // hangs up rudely
	}
	patience := time.Duration(random.IntN(150)) * time.Millisecond
	_ = conn.SetDeadline(time.Now().Add(patience))
	request, upgrade := w.request(random)
	if random.IntN(8) == 0 {
		request = mutate(random, request)
	} else if upgrade && !strings.Contains(request, "-Encoding: ") && !strings.Contains(request, "-Length: ") {
		// The request is answered without a wait for its body, if late on a busy machine.
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return upgraded
	}
	reader := bufio.NewReader(conn)
	if upgrade {
		if head, err := reader.ReadString('\n'); err != nil || !strings.Contains(head, " 101 ") {
			return upgraded
		}
		upgraded = true
		_ = conn.SetDeadline(time.Now().Add(patience))
		for range random.IntN(6) {
			if _, err := conn.Write(frame(random)); err != nil {
				return upgraded
			}
		}
	}
	if random.IntN(2) == 0 {
		_, _ = io.CopyN(io.Discard, reader, int64(random.IntN(4096)))
	}
	return upgraded
}

// request makes a request that is mostly valid.
func (w *World) request(random *rand.Rand) (text string, upgrade bool) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	id := NewChannel()
	list := pick(w.Signed(id), w.Signed(id), id.String(), w.Signed(id, NewChannel(), id), "", "zz", "%00", "%zz", strings.Repeat(id.String()+"/", random.IntN(300)), noise(random, 60))
	path := pick("/bitrix/sub/", "/bitrix/subws/", "/bitrix/pub/", "/pub/", "/sub/x/y", "/server-stat/", "/bitrix/subws", "//bitrix/sub/", "/bitrix/sub/..%2f", "/"+noise(random, 10))
	query := "?CHANNEL_ID=" + list + pick("", "&mid="+strings.Repeat("9", random.IntN(30)), "&mid=00000000000000000000000000", "&binaryMode=true", "&signature=00", "&"+noise(random, 20))
	// A valid request, for the frames that follow.
	if upgrade = random.IntN(3) == 0; upgrade && random.IntN(4) > 0 {
		return "GET " + pick("/bitrix/subws/", "/subws/", "/bitrix/subws/x") + "?CHANNEL_ID=" + pick(w.Signed(id), w.Signed(id, NewChannel()), "zz") + pick("", "&mid=00000000000000000000000000") +
			" HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", true
	}
	body := strings.Repeat(noise(random, 10), random.IntN(200))
	method := pick("GET", "GET", "POST", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "BREW")
	if upgrade {
		method, body = "GET", ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s HTTP/1.%d\r\nHost: h\r\n", method, path, strings.NewReplacer(" ", "%20", "\r", "", "\n", "").Replace(query), random.IntN(2))
	if upgrade {
		fmt.Fprintf(&b, "Connection: %s\r\nUpgrade: %s\r\nSec-WebSocket-Version: %s\r\nSec-WebSocket-Key: %s\r\n", pick("Upgrade", "keep-alive, upgrade", "close"),
			pick("websocket", "WebSocket", "h2c"), pick("13", "13", "13", "8"), pick("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==", "short"))
	}
	switch random.IntN(6) {
	case 0:
		// A wrong length.
		fmt.Fprintf(&b, "Content-Length: %d\r\n", random.IntN(1<<21))
	case 1:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		body = pick(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), "ffffffff\r\nx", "zz\r\n")
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString(pick("", "Message-Expiry: "+pick("1", "-1", "99999999999999999999", "x")+"\r\n", "X-Forwarded-For: "+noise(random, 8)+"\r\n", "Expect: 100-continue\r\n", "Origin: null\r\n"))
	return b.String() + "\r\n" + body, upgrade
}

// noise returns up to n characters, some of which have a meaning in some syntax.
func noise(random *rand.Rand, n int) string {
	const letters = "abcdef0123456789/:.%&=?#!{}\"\\\x00\x7f\xffNGINXMSE"
	b := make([]byte, random.IntN(n+1))
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}

// mutate changes some bytes, or cuts the rest off.
func mutate(random *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + random.IntN(4) {
		b[random.IntN(len(b))] = byte(random.Uint32())
	}
	return string(b[:random.IntN(len(b)+1)])
}

// frame makes a client's frame: any opcode, any bits, masked or not, with a length that may be
// wrong.
func frame(random *rand.Rand) []byte {
	payload := []byte(noise(random, 125))
	first := byte(0x80 | []int{0, 1, 2, 8, 9, 10, 3, 15}[random.IntN(8)])
	if random.IntN(6) == 0 {
		first = byte(random.Uint32())
	}
	head := []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0} // a mask of zeroes
	switch random.IntN(10) {
	case 0:
		head = head[:2]
		head[1] &= 0x7f
	case 1:
		head = []byte{first, 0x80 | 127, byte(random.Uint32()), 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	case 2:
		head = []byte{first, 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0}
	}
	return append(head, payload...)
}
