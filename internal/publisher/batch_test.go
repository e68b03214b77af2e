package publisher

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire/pb"
)

const idC = "c18beb389c3e49131dbb2dde597df615" // a public one

// vectorBatch returns the bytes of a batch of the vectors.
func vectorBatch(t *testing.T, name string) string {
	t.Helper()
	for _, c := range vectors.Load(t).Protobuf.Cases {
		if strings.HasPrefix(c.Name, name) {
			raw, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
	t.Fatalf("no batch %q", name)
	return ""
}

// toPublic returns a batch with one message to a public id, signed by the key of the tests.
func toPublic(t *testing.T, id, body string) string {
	t.Helper()
	parsed := ref(t, id).Private
	raw, _ := parsed.Bytes()
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_IncomingMessages{
		IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{{
			Receivers: []*pb.Receiver{{Id: raw[:], Signature: testkit.Signer(testKey).SignPublic(parsed)}}, Body: []byte(body), Expiry: 60,
		}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPortalBatch(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	w := p.do(request("POST", "/bitrix/pub/?binaryMode=true&hostname=portal.example.com", vectorBatch(t, "portal publishes one message")))
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "text/plain" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Fatal(w.Code, w.Body, w.Header())
	}
	m := f.got[0]
	if len(m.Receivers) != 2 || m.Type != "im_message" || m.TTL != 24*time.Hour || m.Sender != (proto.Sender{Type: proto.SenderBackend}) {
		t.Errorf("%+v", m)
	}
	if testutil.ToFloat64(p.metrics.published) != 1 || testutil.ToFloat64(p.metrics.bytes) != float64(len(m.Body)) {
		t.Error("not counted")
	}
	f.online = func(_ context.Context, ids []channel.ID) ([]int, error) { return []int{3, 0}, nil }
	want := vectorBatch(t, "channel stats response")
	for name, r := range map[string]*stringRequest{
		"POST": {"POST", "/pub/?binaryMode=true", vectorBatch(t, "portal asks channel stats")},
		"GET":  {"GET", "/pub/?binaryMode=true&CHANNEL_ID=" + idA + "/" + idB, ""},
	} {
		w := p.do(request(r.method, r.target, r.body))
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %x %v", name, w.Code, w.Body, w.Header())
		}
	}
	if w := p.do(request("POST", "/pub/?binaryMode=true", vectorBatch(t, "server stats request"))); !strings.Contains(w.Body.String(), "[]") {
		t.Errorf("statistics: %d %q", w.Code, w.Body)
	}
}

type stringRequest struct{ method, target, body string }

// TestBinaryModeIsAskedForInOneWay: any value except "true" means the text dialect.
func TestBinaryModeIsAskedForInOneWay(t *testing.T) {
	for query, binary := range map[string]bool{
		"binaryMode=true": true, "binaryMode=%74rue": true, "binaryMode=true&binaryMode=no": true,
		"binaryMode=True": false, "binaryMode=1": false, "binaryMode=": false, "binaryMode=no&binaryMode=true": false, "binarymode=true": false,
	} {
		f := &fake{}
		p := newPublisher(config(t), f)
		w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA+"&"+query, "hello"))
		if got := w.Code == 400 && w.Body.String() == "4013: Wrong Request Data."; got != binary || binary == (len(f.got) == 1) {
			t.Errorf("%s: %d %q, %d published", query, w.Code, w.Body, len(f.got))
		}
	}
}

func TestClientBatch(t *testing.T) {
	own := testkit.Signer(testKey).Sign(ref(t, idA+":"+idC)).String()
	shared := testkit.Signer(testKey).Sign(ref(t, idB)).String()
	body := `{"module_id":"im","command":"hello","params":{}}`
	for _, path := range []string{"/bitrix/rest/", "/rest/", "/bitrix/pubweb/", "/pubweb/"} {
		for _, list := range []string{own, shared + "/" + own, strings.ReplaceAll(shared+"/"+own, "/", "%2F")} {
			f := &fake{}
			c := config(t)
			c.Signed = true // of portals
			p := newPublisher(c, f)
			r := request("POST", path+"?CHANNEL_ID="+list, toPublic(t, idC, body))
			r.RemoteAddr = "203.0.113.7:1234" // the world
			check(t, p.do(r), vectors.Load(t).Answer(t, 2, "POST rest accepted"))
			if len(f.got) != 1 || f.got[0].Sender != (proto.Sender{Type: proto.SenderClient, ID: ref(t, idC).Private}) || f.got[0].TTL != time.Minute {
				t.Errorf("%s: %+v", path, f.got)
			}
		}
		w := newPublisher(config(t), &fake{}).do(request("OPTIONS", path, ""))
		want := vectors.Load(t).Answer(t, 1, "OPTIONS sub")
		check(t, w, want)
		if w.Header().Get("Access-Control-Allow-Methods") != want.Headers["Access-Control-Allow-Methods"] {
			t.Error(w.Header())
		}
	}
}

// TestClientRefusals checks the vectors' answers at the path /bitrix/rest.
func TestClientRefusals(t *testing.T) {
	v := vectors.Load(t)
	s := testkit.Signer(testKey)
	own := s.Sign(ref(t, idA+":"+idC)).String()
	private := vectorBatch(t, "portal asks channel stats")
	for _, c := range []struct{ vector, list, body string }{
		{"POST rest, unsigned CHANNEL_ID", idA + ":" + idC, private},
		{"POST rest, unsigned CHANNEL_ID", "", private},
		{"POST rest, unsigned CHANNEL_ID", s.Sign(ref(t, idA)).String(), private},
		{"POST rest, unsigned CHANNEL_ID", own + "/" + idB, private},
		{"POST rest, unsigned CHANNEL_ID", own + "/", private},
		{"POST rest, serverStats command", own, vectorBatch(t, "server stats request")},
		{"POST rest, stats of a private channel", own, private},
		{"POST rest, wrong public signature", own, vectorBatch(t, "untrusted publish with a wrong public signature")},
		{"POST rest larger than limits.maxPayload", own, strings.Repeat("x", 1<<20+1)},
	} {
		f := &fake{}
		p := newPublisher(config(t), f)
		w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+c.list, c.body))
		check(t, w, v.Answer(t, 2, c.vector))
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a page cannot read the answer", c.vector)
		}
		if len(f.got) != 0 {
			t.Errorf("%s: published", c.vector)
		}
		var counted float64
		for _, counter := range p.metrics.refused {
			counted += testutil.ToFloat64(counter)
		}
		if counted == 0 {
			t.Errorf("%s: not counted", c.vector)
		}
	}
	f := &fake{append: func(context.Context, *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{}, errors.New("broken")
	}}
	p := newPublisher(config(t), f)
	w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+own, toPublic(t, idC, `{"module_id":"im","command":"x"}`)))
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("our fault:", w.Code, w.Body, w.Header())
	}
	w = p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+own, toPublic(t, idC, `{"module_id":"PULL","command":"x"}`)))
	if w.Code != 400 || w.Body.String() != proto.ErrNotAllowed.Text || testutil.ToFloat64(p.metrics.refused[refusalOf[proto.ErrSystemMessage]]) != 1 {
		t.Error("system message:", w.Code, w.Body)
	}
	old := config(t)
	old.Grammar = channel.Alphanumeric
	check(t, newPublisher(old, &fake{}).do(request("POST", "/rest/?CHANNEL_ID="+s.Sign(ref(t, idA)).String(), "")), v.Answer(t, 2, "POST rest, unsigned"))
}

// TestBinaryPostIsForPortals: the same rules hold as for text posts, but a wrong signature is
// reported in the binary dialect.
func TestBinaryPostIsForPortals(t *testing.T) {
	v := vectors.Load(t)
	i := slices.IndexFunc(v.RequestSignatures, func(s vectors.RequestSignature) bool { return strings.Contains(s.What, "binaryMode") })
	vector := v.RequestSignatures[i]
	raw, _ := hex.DecodeString(vector.BodyHex)
	c := config(t)
	c.Signed, c.Signer = true, testkit.Signer(vector.Key)
	f := &fake{}
	p := newPublisher(c, f)
	for query, status := range map[string]int{
		"&signature=" + vector.Signature: 200, "": 403, "&signature=" + strings.Repeat("0", 40): 400, "&signature=x": 400,
	} {
		w := p.do(request("POST", "/pub/?binaryMode=true"+query, string(raw)))
		if w.Code != status {
			t.Errorf("%q: %d %q, want %d", query, w.Code, w.Body, status)
		}
		if status == 400 {
			check(t, w, v.Answer(t, 2, "POST pub shared mode wrong signature"))
		}
	}
	if len(f.got) != 1 {
		t.Errorf("%d published", len(f.got))
	}
}
