package publisher

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// timed makes requests whose signatures have a time in the past.
func timed(t *testing.T, kind string, at time.Time) *http.Request {
	const rpc = `{"jsonrpc":"2.0","method":"publish","params":{"userList":[5],"body":{}}}`
	body, list := "hello", idA
	switch kind {
	case "question":
		body = ""
	case "call":
		body, list = rpc, ""
	}
	signature := testkit.Signer(testKey).SignPost(sign.Post{Time: at.Unix(), Channels: list, Body: []byte(body)})
	query := "?CHANNEL_ID=" + list + "&signature=" + signature + "&timestamp=" + strconv.FormatInt(at.Unix(), 10)
	r := map[string]*http.Request{
		"post": request("POST", "/pub/"+query, body), "question": request("GET", "/pub/"+query, body), "call": request("POST", "/api/"+query, body),
	}[kind]
	r.RemoteAddr = "192.0.2.1:1"
	return r
}

// TestSignatureWindow: a signature with a time is valid for some minutes before and after it. With
// a window, no other signature is valid.
func TestSignatureWindow(t *testing.T) {
	for _, c := range []struct {
		window, ago time.Duration
		right       bool
	}{
		{0, 0, true}, {0, usualWindow, true}, {0, -usualWindow, true}, {0, usualWindow + time.Second, false}, {0, -usualWindow - time.Second, false},
		{time.Minute, time.Minute, true}, {time.Minute, -time.Minute, true}, {time.Minute, 61 * time.Second, false}, {time.Minute, -61 * time.Second, false},
		{time.Hour, 59 * time.Minute, true}, {time.Hour, 1 << 62, false}, {time.Hour, -1 << 62, false},
	} {
		for kind, status := range map[string]int{"post": 403, "question": 403, "call": 400} {
			synctest.Test(t, func(t *testing.T) {
				conf := config(t)
				conf.Window = c.window
				f := &fake{}
				p := newPublisher(conf, f)
				w := p.do(timed(t, kind, time.Now().Add(-c.ago)))
				stale := testutil.ToFloat64(p.metrics.refused[staleForbidden])
				if c.right != (w.Code == 200) || !c.right && (w.Code != status || stale != 1 || len(f.got) != 0) {
					t.Errorf("%s, signed %v ago in a window of %v: %d %q, %v counted", kind, c.ago, c.window, w.Code, w.Body, stale)
				}
			})
		}
	}
}

// TestSignatureWindowIsDemanded: with a window, a signature without a time is refused. Where no
// signature is needed, no time is needed either.
func TestSignatureWindowIsDemanded(t *testing.T) {
	for _, window := range []time.Duration{0, time.Minute} {
		conf := config(t)
		conf.Window = window
		p := newPublisher(conf, &fake{})
		r := request("POST", "/pub/?CHANNEL_ID="+idA+"&signature="+testkit.Signer(testKey).SignBody([]byte("hello")), "hello")
		r.RemoteAddr = "192.0.2.1:1"
		if w := p.do(r); (w.Code == 200) != (window == 0) || testutil.ToFloat64(p.metrics.refused[staleForbidden]) != float64(window/time.Minute) {
			t.Errorf("window %v: %d", window, w.Code)
		}
		if w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "hello")); w.Code != 200 {
			t.Errorf("from an allowed network, window %v: %d", window, w.Code)
		}
	}
}

// TestTimedSignatureIsOfOnePlace: an attacker who has seen a post with a time cannot send its body
// to another channel, use it to ask who is online, change the time, or leave it out. Without a
// time, the body can be sent elsewhere: that is how portals sign.
func TestTimedSignatureIsOfOnePlace(t *testing.T) {
	now := time.Now()
	for name, change := range map[string]func(string) string{
		"another channel": func(q string) string { return strings.Replace(q, idA, idB, 1) },
		"a channel more":  func(q string) string { return strings.Replace(q, idA, idA+"/"+idB, 1) },
		"a later time": func(q string) string {
			return q[:strings.Index(q, "&timestamp=")] + "&timestamp=" + strconv.FormatInt(now.Unix()+60, 10)
		},
		"no time":               func(q string) string { return q[:strings.Index(q, "&timestamp=")] },
		"an empty time":         func(q string) string { return q[:strings.Index(q, "&timestamp=")] + "&timestamp=" },
		"a time that is none":   func(q string) string { return q + "x" },
		"another channel first": func(q string) string { return "CHANNEL_ID=" + idB + "&" + q },
	} {
		p := newPublisher(config(t), &fake{})
		r := timed(t, "post", now)
		r.URL.RawQuery = change(r.URL.RawQuery)
		if w := p.do(r); w.Code != 403 || testutil.ToFloat64(p.metrics.refused[forbidden]) != 1 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	p := newPublisher(config(t), &fake{})
	r := timed(t, "post", now)
	r.Method, r.Body = "GET", http.NoBody
	if w := p.do(r); w.Code != 403 {
		t.Error("as a question:", w.Code)
	}
	for _, list := range []string{idA, idB} {
		r := request("POST", "/pub/?CHANNEL_ID="+list+"&signature="+testkit.Signer(testKey).SignBody([]byte("hello")), "hello")
		r.RemoteAddr = "192.0.2.1:1"
		if w := p.do(r); w.Code != 200 {
			t.Errorf("without a time, to %s: %d", list, w.Code)
		}
	}
}

// TestTimedPostIsPublishedOnce: the signature of such a post is its key, whatever the header
// Idempotency-Key says, which is not signed.
func TestTimedPostIsPublishedOnce(t *testing.T) {
	for _, kind := range []string{"post", "call"} {
		f := &fake{}
		p := newPublisher(config(t), f)
		now := time.Now()
		keys := make(map[string]int)
		for i, at := range []time.Time{now, now, now, now.Add(time.Second)} {
			r := timed(t, kind, at)
			if i > 0 {
				r.Header.Set("Idempotency-Key", strconv.Itoa(i))
			}
			if w := p.do(r); w.Code != 200 {
				t.Error(w.Code)
			}
			keys[f.got[i].Key]++
		}
		if len(keys) != 2 || keys[""] != 0 {
			t.Errorf("%s: keys %v", kind, keys)
		}
	}
}
