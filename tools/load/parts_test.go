package load

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pushgate/internal/testkit"
	"pushgate/internal/wire/pb"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestMarks(t *testing.T) {
	body := newBody(256)
	if len(body) != 256 {
		t.Errorf("a body of %d bytes", len(body))
	}
	want := mark{7, 4_000_000_000, 81 * time.Hour}
	want.put(body[bodyMark:])
	if !json.Valid(body) {
		t.Errorf("not JSON: %s", body)
	}
	got, rest, ok := nextMark(append([]byte("#!NGINXNMS!#"), body...))
	if !ok || got != want {
		t.Errorf("%+v, %v, want %+v", got, ok, want)
	}
	if _, rest, ok = nextMark(rest); ok || rest != nil {
		t.Errorf("another one: %q", rest)
	}
	for _, damaged := range []string{"~load:", "~load:00000001.00000001.00000000000000", "~load:0000000g.00000001.0000000000000001", "~load:00000001-00000001.0000000000000001"} {
		if _, rest, ok := nextMark([]byte(damaged)); ok || rest == nil {
			t.Errorf("%q passes", damaged)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	var all []time.Duration
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := time.Duration(1) << random.IntN(36)
		d += time.Duration(random.Int64N(int64(d)))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.9999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		if got := h.quantile(q); got < want || float64(got) > 1.017*float64(want) {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if c := h.curve(); len(c) < 10 || c[0].Share != 0 || c[len(c)-1] != (Point{1, ms(all[len(all)-1])}) {
		t.Errorf("curve %v", c)
	}
	h.reset()
	if h.quantile(0.5) != 0 || h.summary() != (Summary{}) {
		t.Error("not empty")
	}
}

func TestLedger(t *testing.T) {
	for _, c := range []struct {
		name                   string
		places                 []uint32
		refused                []uint32
		lost, doubled, late, x int
	}{
		{"all", []uint32{1, 2, 3, 4, 5}, nil, 0, 0, 0, 0},
		{"none", nil, nil, 5, 0, 0, 0},
		{"first", []uint32{2, 3, 4, 5}, nil, 1, 0, 0, 0},
		{"last", []uint32{1, 2, 3}, nil, 2, 0, 0, 0},
		{"middle", []uint32{1, 5}, nil, 3, 0, 0, 0},
		{"doubled", []uint32{1, 1, 2, 3, 4, 5, 2}, nil, 0, 2, 0, 0},
		{"swapped", []uint32{1, 3, 2, 5, 4}, nil, 0, 0, 2, 0},
		{"backwards", []uint32{5, 4, 3, 2, 1}, nil, 0, 0, 4, 0},
		{"late and doubled", []uint32{5, 3, 3, 1}, nil, 2, 1, 2, 0},
		{"never sent", []uint32{1, 2, 3, 4, 5, 6}, nil, 0, 0, 0, 1},
		{"refused, not come", []uint32{1, 3, 4}, []uint32{2, 5}, 0, 0, 0, 0},
		{"refused, come all the same", []uint32{1, 2, 3, 4}, []uint32{2, 5}, 0, 0, 0, 0},
	} {
		cur := cursor{stream: &stream{posted: 5, refused: c.refused}}
		counts := map[verdict]int{}
		for _, place := range c.places {
			counts[cur.take(place)]++
		}
		if cur.lost() != c.lost || counts[doubled] != c.doubled || counts[late] != c.late || counts[stray] != c.x {
			t.Errorf("%s: lost %d, %v", c.name, cur.lost(), counts)
		}
	}
}

func TestAnswers(t *testing.T) {
	const chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
	for _, c := range []struct {
		text   string
		status int
		body   string
		keeps  bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", 200, "abcde", true},
		{"HTTP/1.1 304 Not Modified\r\nLast-Message-Id: 1\r\n\r\n", 304, "", true},
		{chunks, 200, "abcde", false},
	} {
		for n := range len(c.text) {
			if a, err := parseAnswer([]byte(c.text[:n])); err != nil || a.used != 0 {
				t.Errorf("%q: used %d, %v", c.text[:n], a.used, err)
			}
		}
		a, err := parseAnswer([]byte(c.text + "HTTP"))
		if err != nil || a.used != len(c.text) || a.status != c.status || string(a.body) != c.body || a.keeps() != c.keeps {
			t.Errorf("%q: %+v, %v", c.text, a, err)
		}
	}
	for _, bad := range []string{"SMTP\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", chunks[:60] + "\r\n\r\nzz\r\n", strings.Repeat("x", maxHead+1)} {
		if a, err := parseAnswer([]byte(bad)); err == nil {
			t.Errorf("%.40q passes: %+v", bad, a)
		}
	}
}

func TestPositions(t *testing.T) {
	const first, last = "17952262100000000000000006", "17952262100000000000000007"
	id := func(s string) *pb.Response {
		m := &pb.OutgoingMessage{Body: "body", Sender: &pb.Sender{Type: pb.SenderType_BACKEND}}
		m.Id = slices.Collect(func(yield func(byte) bool) {
			for i := 0; i < len(s); i += 2 {
				yield((s[i]-'0')<<4 | (s[i+1] - '0'))
			}
		})
		return &pb.Response{Command: &pb.Response_OutgoingMessages{OutgoingMessages: &pb.OutgoingMessagesResponse{Messages: []*pb.OutgoingMessage{m}}}}
	}
	binary, err := proto.Marshal(&pb.ResponseBatch{Responses: []*pb.Response{id(first), id(last)}})
	if err != nil {
		t.Fatal(err)
	}
	nchan := target{template: true}
	for _, c := range []struct {
		s       subscriber
		payload string
		want    string
	}{
		{subscriber{form: Text}, `{"mid":"` + first + `"}{"mid":"` + last + `"}`, last},
		{subscriber{form: JSONRPC}, `{"mid":"` + last, last},
		{subscriber{form: JSON}, `{"mid":"17`, "was"},
		{subscriber{form: Protobuf}, string(binary), last},
		{subscriber{form: Protobuf}, "\xff", "was"},
		{subscriber{form: SSE}, "id: " + first + "\ndata: 1\n\nid: " + last + "\ndata: id: 3\n\n", last},
		{subscriber{target: nchan}, "id: 1795226210:0\n\nbody", "1795226210:0"},
	} {
		c.s.run, c.s.position = new(run), "was"
		if c.s.note([]byte(c.payload)); c.s.position != c.want {
			t.Errorf("%s: %q from %q", c.s.form, c.s.position, c.payload)
		}
	}
	poll := subscriber{transport: Poll}
	h, _ := parseHead([]byte("HTTP/1.1 304 x\r\nlast-message-id: " + last + "\r\n\r\n"))
	if poll.notePoll(h); poll.position != last {
		t.Errorf("%q from a 304", poll.position)
	}
}

func TestTargets(t *testing.T) {
	lookup := func(string) (netip.Addr, error) { return netip.MustParseAddr("192.0.2.1"), nil }
	for _, c := range []struct{ text, addr, path string }{
		{"127.0.0.1:8010", "127.0.0.1:8010", ""},
		{"http://push.test/", "192.0.2.1:80", ""},
		{"ws://[::1]:81/sub?x=1", "[::1]:81", "/sub?x=1"},
		{"http://push.test:82/sub/{channel}?y", "192.0.2.1:82", "/sub/{channel}?y"},
	} {
		got, err := parseTarget(c.text, lookup)
		if err != nil || got.addr.String() != c.addr || got.path != c.path || got.template != strings.Contains(c.path, "{") {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
	if _, err := parseTarget("https://push.test", lookup); err == nil {
		t.Error("https passes")
	}
}

func TestLoopbackSources(t *testing.T) {
	for connections, want := range map[int]int{10: 0, perSource: 0, perSource + 1: 2, 64_000: 3, 10_000_000: 400} {
		got := loopbackSources(connections, 0)
		if len(got) != want || slices.ContainsFunc(got, func(a netip.Addr) bool { return !a.IsLoopback() }) {
			t.Errorf("%d sources for %d connections, want %d", len(got), connections, want)
		}
	}
	if got := loopbackSources(100, 10); len(slices.Compact(got)) != 10 {
		t.Errorf("10 slow readers have the sources %v", got)
	}
}

func TestMeterReadsThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("no /proc")
	}
	m, err := newMeter([]int{os.Getppid()}, []int{os.Getpid()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(m.server, os.Getpid()) {
		t.Errorf("%v are the parent and its children, without this process", m.server)
	}
	u, err := m.read()
	if err != nil || u.storeMemory < 1<<20 || u.memory < u.storeMemory {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := newMeter([]int{1 << 30}, nil, nil); err == nil {
		t.Error("a process that is not there passes")
	}
}

func TestMetrics(t *testing.T) {
	memory, cpu, err := parseMetrics(strings.NewReader("# HELP x\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2.5e+07\nother 1\n"))
	if err != nil || memory != 2.5e7 || cpu != 1.5 {
		t.Errorf("%v, %v, %v", memory, cpu, err)
	}
	if _, _, err := parseMetrics(strings.NewReader("other 1\n")); err == nil {
		t.Error("metrics without a process pass")
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 304 x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err == nil && a.used > len(b) || len(a.body) > len(b) {
			t.Errorf("used %d of %d, body %d", a.used, len(b), len(a.body))
		}
	})
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{0x81, 3, 'a', 'b', 'c'})
	f.Add([]byte{0x82, 126, 0, 1, 'a'})
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseFrame(b)
		if err == nil && got.used > 0 && !bytes.HasSuffix(b[:got.used], got.payload) {
			t.Errorf("used %d of %d, payload %q", got.used, len(b), got.payload)
		}
		lastBinaryID(got.payload)
		nextMark(got.payload)
	})
}
