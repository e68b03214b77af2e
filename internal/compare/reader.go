package compare

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"pushgate/internal/wait"
	"pushgate/internal/wsclient"

	"github.com/coder/websocket"
)

const (
	// path serves WebSockets and polls, of the original's processes and of an edge, with nginx in
	// front and without.
	path = "/bitrix/subws/"

	maxFrame    = 4 << 20 // bytes of a frame or an answer
	dialTimeout = 10 * time.Second
	pollTimeout = time.Minute            // as the known clients have it
	minPause    = 200 * time.Millisecond // before a connection is made again
	maxPause    = 5 * time.Second
)

// errRefused is what a server says of a wrong id.
var errRefused = errors.New("wrong channel id or signature")

// reader is one subscription at one server. It is for one goroutine.
type reader struct {
	base     *url.URL
	id       string // CHANNEL_ID: one id with its signature
	clientID string
	poll     bool // no WebSocket
	http     *http.Client
	mid      string // of the last message; empty before the first

	connected func(is bool)
	take      func([]record)
	note      func(err error) // told of the first of several failures in a row
}

// run subscribes until ctx ends, again and again. It returns [errRefused] if the server does not
// accept the id.
func (r *reader) run(ctx context.Context) error {
	pause := minPause
	for failures := 0; ctx.Err() == nil; {
		var worked bool
		var err error
		if r.poll {
			worked, err = r.pollOnce(ctx)
		} else {
			worked, err = r.webSocket(ctx)
		}
		switch {
		case errors.Is(err, errRefused):
			r.connected(false)
			return err
		case err == nil:
			pause, failures = minPause, 0
			continue
		case worked:
			pause, failures = minPause, 0
		}
		r.connected(false)
		if failures++; failures == 2 && ctx.Err() == nil {
			r.note(plain(err))
		}
		wait.For(ctx, pause)
		pause = min(2*pause, maxPause)
	}
	return nil
}

// plain returns err without the address that it happened with, which holds ids and signatures.
func plain(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// address returns the address of the subscription.
func (r *reader) address() string {
	u := *r.base
	u.User, u.Path = nil, path
	q := url.Values{"CHANNEL_ID": {r.id}}
	if r.clientID != "" {
		q.Set("clientId", r.clientID)
	}
	if r.mid != "" {
		q.Set("mid", r.mid)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (r *reader) header() http.Header {
	h := http.Header{}
	if user := r.base.User; user != nil {
		password, _ := user.Password()
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	return h
}

// webSocket holds one connection until it ends. It reports whether there was one. A server that
// answers the handshake with another status is polled from now on.
func (r *reader) webSocket(ctx context.Context) (worked bool, err error) {
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, answer, err := websocket.Dial(dial, r.address(), &websocket.DialOptions{HTTPClient: r.http, HTTPHeader: r.header()})
	if err != nil {
		if answer != nil {
			r.poll = true
			return false, nil
		}
		return false, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxFrame)
	r.connected(true)
	ctx, end := context.WithCancel(ctx)
	var pings sync.WaitGroup
	pings.Go(func() { wsclient.KeepAlive(ctx, conn) })
	defer pings.Wait()
	defer end()
	for {
		_, payload, err := conn.Read(ctx)
		if websocket.CloseStatus(err) == 4010 {
			return true, errRefused
		}
		if err != nil {
			return true, err
		}
		r.received(payload)
	}
}

// pollOnce makes one long poll. It reports whether it was answered.
func (r *reader) pollOnce(ctx context.Context) (worked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			r.connected(true)
		}
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address(), nil)
	if err != nil {
		return false, err
	}
	request.Header = r.header()
	answer, err := r.http.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxFrame+1))
	switch {
	case err != nil:
		return false, err
	case answer.StatusCode == http.StatusOK && len(body) <= maxFrame:
		r.received(body)
	case answer.StatusCode == http.StatusNotModified:
		if mid := answer.Header.Get("Last-Message-Id"); mid != "" && fitMID(mid) {
			r.mid = mid
		}
	case answer.StatusCode == http.StatusBadRequest:
		return false, errRefused
	default:
		return false, fmt.Errorf("status %d with %d bytes", answer.StatusCode, len(body))
	}
	return true, nil
}

// received passes on what came at once.
func (r *reader) received(payload []byte) {
	records := parse(payload, time.Now())
	for _, record := range records {
		if record.mid != "" {
			r.mid = record.mid
		}
	}
	r.take(records)
}
