package publisher

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

var (
	_ Log   = (*fake)(nil)
	_ Stats = (*fake)(nil)
)

const (
	testKey = "0123456789abcdef"
	idA     = "00112233445566778899aabbccddeeff"
	idB     = "f0e5d42369441879d7e176c96cbbff2d"
)

func TestAnswersOfVectors(t *testing.T) {
	v := vectors.Load(t)
	for _, prefix := range []string{"/bitrix/pub/", "/pub/", "/pub/more/of/it"} {
		for _, grammar := range []channel.Grammar{channel.Hex, channel.Alphanumeric} {
			c := config(t)
			c.Grammar = grammar
			f := &fake{}
			p := newPublisher(c, f)
			check(t, p.do(request("POST", prefix, "hello")), v.Answer(t, 1, "POST pub, no CHANNEL_ID"))
			check(t, p.do(request("POST", prefix+"?CHANNEL_ID="+idA, "")), v.Answer(t, 1, "POST pub?CHANNEL_ID=valid, empty body"))
			check(t, p.do(request("POST", prefix+"?CHANNEL_ID=zz", "hello")), v.Answer(t, 1, "POST pub?CHANNEL_ID=zz"))
			if len(f.got) != 0 {
				t.Error("published what was refused")
			}
		}
		p := newPublisher(config(t), &fake{})
		none := v.Answer(t, 2, "GET pub?CHANNEL_ID= (empty)")
		check(t, p.do(request("GET", prefix+"?CHANNEL_ID=", "")), none)
		check(t, p.do(request("GET", prefix, "")), none)
		check(t, p.do(request("GET", prefix+"?CHANNEL_ID=zz", "")), none)
		check(t, p.do(request("GET", prefix+"?CHANNEL_ID="+idA+":"+idB, "")), none) // unsigned
		check(t, p.do(request("GET", prefix+"?CHANNEL_ID="+strings.Repeat("/"+idA, 101)[1:], "")), v.Answer(t, 2, "GET pub with 101 channels"))
		if w := p.do(request("GET", prefix+"?CHANNEL_ID="+strings.Repeat("/"+idA, 100)[1:], "")); w.Code != 200 {
			t.Error("100 channels:", w.Code)
		}

		c := config(t)
		c.Grammar = channel.Alphanumeric
		p = newPublisher(c, &fake{})
		if w := p.do(request("GET", prefix, "")); w.Code != 400 || w.Body.String() != "No channel id provided." {
			t.Error("first generation, no list:", w.Code, w.Body)
		}
		if w := p.do(request("GET", prefix+"?CHANNEL_ID=zz", "")); w.Code != 400 || w.Body.String() != "Channel id is not correct." {
			t.Error("first generation, bad list:", w.Code, w.Body)
		}
	}
}

func TestEverythingElseIsNotFound(t *testing.T) {
	want := vectors.Load(t).Answer(t, 1, "any unknown path or method")
	p := newPublisher(config(t), &fake{})
	for _, target := range []string{
		"DELETE /bitrix/pub/", "HEAD /bitrix/pub/", "HEAD /server-stat/", "PUT /pub/", "OPTIONS /pub/", "POST /server-stat/", "PROPFIND /pub/",
		"POST /bitrix/sub/", "GET /", "POST /", "GET /bitrix/pubx", "POST /pubx/", "GET /server-state", "GET /bitrix/Pub/", "OPTIONS *", "GET ",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := p.do(request(method, path+"?CHANNEL_ID="+idA, "hello"))
		want.Request = target
		check(t, w, want)
	}
}

func TestPublish(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	start := time.Now()
	r := request("POST", "/bitrix/pub/?CHANNEL_ID="+idA+"/"+idB+"/"+idA, `{"module_id":"im","command":"startWriting","params":{}}`)
	r.Header.Set("Message-Expiry", "60")
	w := p.do(r)
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "text/plain" {
		t.Fatal(w.Code, w.Body, w.Header())
	}
	m := f.got[0]
	if m.Created.Before(start.Add(-time.Millisecond)) || m.Created.After(time.Now()) || m.Created.Nanosecond()%1000 != 0 {
		t.Error("created", m.Created)
	}
	if m.Sender != (proto.Sender{Type: proto.SenderBackend}) {
		t.Error("sender", m.Sender)
	}
	type message struct {
		Receivers  []string
		Type, Body string
		TTL        time.Duration
	}
	got := message{Type: m.Type, Body: string(m.Body), TTL: m.TTL}
	for _, id := range m.Receivers {
		got.Receivers = append(got.Receivers, id.String())
	}
	want := message{[]string{idA, idB}, "im_startWriting", `{"module_id":"im","command":"startWriting","params":{}}`, time.Minute}
	if diff := testkit.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := testutil.ToFloat64(p.metrics.published); n != 1 {
		t.Error("counted", n)
	}
}

func TestLifeOfMessages(t *testing.T) {
	for _, c := range []struct {
		header string // "-" is none
		body   string
		want   time.Duration
	}{
		{"-", "hello", 24 * time.Hour},
		{"0", "hello", 24 * time.Hour}, // not transient: that is another dialect's word
		{"-1", "hello", 24 * time.Hour},
		{"60", "hello", time.Minute},
		{" \t60", "hello", time.Minute},
		{"+60", "hello", time.Minute},
		{"60.9", "hello", time.Minute},
		{"60 seconds", "hello", time.Minute},
		{"1e3", "hello", time.Second},
		{"0x10", "hello", 24 * time.Hour},
		{"junk", "hello", 24 * time.Hour},
		{"", "hello", 24 * time.Hour},
		{"+-5", "hello", 24 * time.Hour},
		{"86401", "hello", 24 * time.Hour},
		{"99999999999999999999999999", "hello", 24 * time.Hour},
		{"86400", `{"module_id":"im","command":"startWriting"}`, 2 * time.Minute},
		{"-", `{"module_id":"online","command":"user_online"}`, 2 * time.Minute},
		{"30", `{"module_id":"online","command":"user_online"}`, 30 * time.Second},
	} {
		f := &fake{}
		p := newPublisher(config(t), f)
		r := request("POST", "/pub/?CHANNEL_ID="+idA, c.body)
		if c.header != "-" {
			r.Header["Message-Expiry"] = []string{c.header, "7"}
		}
		if w := p.do(r); w.Code != 200 || len(f.got) != 1 || f.got[0].TTL != c.want {
			t.Errorf("%q: %d %+v, want a life of %v", c.header, w.Code, f.got, c.want)
		}
	}
}

// TestListsOfVectors posts to every list of the vectors.
func TestListsOfVectors(t *testing.T) {
	v := vectors.Load(t)
	post := func(c settings, query string) (int, string, []string) {
		f := &fake{}
		w := newPublisher(c, f).do(request("POST", "/pub/?CHANNEL_ID="+query, "hello"))
		var ids []string
		for _, m := range f.got {
			for _, id := range m.Receivers {
				ids = append(ids, id.String())
			}
		}
		return w.Code, w.Body.String(), ids
	}
	for _, cas := range v.Parsing.Generation2.Cases {
		c := config(t)
		c.Signer = testkit.Signer(v.Parsing.Generation2.Key)
		var want []string
		for _, part := range cas.PublishText {
			if len(want) == 0 || want[len(want)-1] != part.Private {
				want = append(want, part.Private)
			}
		}
		queries := []string{cas.ChannelID}
		if cas.Encoded != "" {
			queries = append(queries, cas.Encoded)
		}
		for _, query := range queries {
			status, text, got := post(c, query)
			if diff := testkit.Diff(want, got); diff != "" || (status == 200) != (len(want) > 0) {
				t.Errorf("%s: %d %q %s", cas.Description, status, text, diff)
			}
			if status != 200 && text != "Channel id is not correct." && text != "No channel id provided." {
				t.Errorf("%s: %q", cas.Description, text)
			}
		}
	}
	for _, cas := range v.Parsing.Generation1.Cases {
		c := config(t)
		c.Grammar, c.Signer = channel.Alphanumeric, testkit.Signer(v.Parsing.Generation1.Key)
		status, text, got := post(c, cas.ChannelID)
		if cas.Publish.ErrorStatus != 0 {
			if status != cas.Publish.ErrorStatus || text != cas.Publish.ErrorBody {
				t.Errorf("%s: %d %q, want %d %q", cas.Description, status, text, cas.Publish.ErrorStatus, cas.Publish.ErrorBody)
			}
		} else if diff := testkit.Diff(cas.Publish.Channels, got); diff != "" {
			t.Errorf("%s: %d %q %s", cas.Description, status, text, diff)
		}
	}
}

func TestQueryIsLenient(t *testing.T) {
	for _, query := range []string{
		"CHANNEL_ID=" + idA, "a=b;c&CHANNEL_ID=" + idA, "CHANNEL_ID=" + idA + "&CHANNEL_ID=zz", "x=%zz&CHANNEL_ID=" + idA,
		"CHANNEL%5FID=" + idA, "&&=&binaryMode=no&CHANNEL_ID=" + idA + "&tail", "channel_id=zz&CHANNEL_ID=%30%30" + idA[2:],
	} {
		f := &fake{}
		if w := newPublisher(config(t), f).do(request("POST", "/pub/?"+query, "CHANNEL_ID=zz")); w.Code != 200 || f.got[0].Receivers[0].String() != idA {
			t.Errorf("%s: %d %q", query, w.Code, w.Body)
		}
	}
	for _, query := range []string{"CHANNEL_ID=zz&CHANNEL_ID=" + idA, "CHANNEL_ID=%zz" + idA, "CHANNEL_ID=" + idA + ";x", "CHANNEL_ID=" + idA + "%2F"} {
		f := &fake{}
		if w := newPublisher(config(t), f).do(request("POST", "/pub/?"+query, "hello")); w.Code != 400 || len(f.got) != 0 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestRefusals(t *testing.T) {
	closed := func(context.Context, *proto.Message) (proto.Receipt, error) { return proto.Receipt{}, nil }
	broken := func(context.Context, *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{}, errors.New("broken")
	}
	for _, c := range []struct {
		body   string
		append func(context.Context, *proto.Message) (proto.Receipt, error)
		status int
		text   string
		label  string
	}{
		{"forged #!NGINXNME!# record", nil, 400, proto.ErrFrameMarker.Text, "frame_marker"},
		{"hello", closed, 403, proto.ErrChannelsClosed.Text, "closed"},
		{"hello", broken, 503, "", "unavailable"},
	} {
		p := newPublisher(config(t), &fake{append: c.append})
		w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA, c.body))
		if w.Code != c.status || w.Body.String() != c.text || w.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %q %v", c.label, w.Code, w.Body, w.Header())
		}
		if (w.Header().Get("Retry-After") == "1") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q", c.label, w.Header().Get("Retry-After"))
		}
		for no, counter := range p.metrics.refused {
			if n := testutil.ToFloat64(counter); (n == 1) != (no.label == c.label) {
				t.Errorf("%s: %s counts %v", c.label, no.label, n)
			}
		}
		if testutil.ToFloat64(p.metrics.published) != 0 {
			t.Errorf("%s: counted as published", c.label)
		}
	}
	var many strings.Builder
	for range proto.MaxReceivers + 1 {
		many.WriteString("/" + idA)
	}
	w := newPublisher(config(t), &fake{}).do(request("POST", "/pub/?CHANNEL_ID="+many.String()[1:], "hello"))
	if w.Code != 400 || w.Body.String() != proto.ErrTooManyChannels.Text {
		t.Error("too many:", w.Code, w.Body)
	}
}

func TestOnline(t *testing.T) {
	f := &fake{online: func(_ context.Context, ids []channel.ID) ([]int, error) {
		online := make([]int, len(ids))
		for i, id := range ids {
			if strings.HasPrefix(id.String(), "0") || strings.HasPrefix(id.String(), "f") {
				online[i] = i + 1
			}
		}
		return online, nil
	}}
	p := newPublisher(config(t), f)
	offline := "a" + idA[1:]
	signed := testkit.Signer(testKey).Sign(ref(t, idA+":"+idB)).String()
	for list, want := range map[string]string{
		idA:                                  `{ "infos": [{"channel":"` + idA + `","subscribers":1}]}`,
		offline:                              `{ "infos": []}`,
		idA + "/" + offline + "/" + idB:      `{ "infos": [{"channel":"` + idA + `","subscribers":1},{"channel":"` + idB + `","subscribers":3}]}`,
		idA + "%2F" + idA:                    `{ "infos": [{"channel":"` + idA + `","subscribers":1}]}`,
		signed:                               `{ "infos": [{"channel":"` + idA + `","subscribers":1}]}`,
		strings.Replace(signed, idB, idA, 1): "4017: No channels found.",
	} {
		// The portal sends the list as a body too.
		r := request("GET", "/bitrix/pub/?CHANNEL_ID="+list, list)
		if w := p.do(r); w.Body.String() != want || (w.Code == 200) == strings.HasPrefix(want, "4") || w.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %s, want %s", list, w.Code, w.Body, want)
		}
	}
	f.online = func(context.Context, []channel.ID) ([]int, error) { return nil, errors.New("broken") }
	if w := p.do(request("GET", "/pub/?CHANNEL_ID="+idA, "")); w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Body.Len() != 0 {
		t.Error(w.Code, w.Body)
	}
}

// TestTroubleIsLoggedOnce: there is one line when the log begins to fail and one when it works
// again, for any number of posts.
func TestTroubleIsLoggedOnce(t *testing.T) {
	var lines strings.Builder
	f := &fake{}
	p := newLogging(config(t), f, slog.New(slog.NewTextHandler(&lines, nil)))
	var err error
	f.append = func(context.Context, *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{ID: proto.ID{Sequence: 1}}, err
	}
	for _, err = range []error{nil, errors.New("broken"), errors.New("broken"), nil, nil} {
		p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "hello"))
	}
	got := lines.String()
	if strings.Count(got, "\n") != 2 || strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 {
		t.Error(got)
	}
	if strings.Contains(got, idA) || strings.Contains(got, "hello") {
		t.Error("the log has secrets:", got)
	}
}
