package shell

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/proto"
	"pushgate/internal/wait"
	"pushgate/internal/wsclient"
)

const (
	socketPath = "/bitrix/subws/"
	pollPath   = "/bitrix/sub/"
	streamPath = "/bitrix/sse/"

	pollTimeout = 2 * time.Hour   // PUSHGATE_POLL_TIMEOUT is at most an hour
	silence     = 3 * time.Minute // of a stream, which has a comment every PUSHGATE_PING_INTERVAL

	wrongChannel = 4010 // the close code of a refused list or token
)

// position returns the parameters of the subscription from where it is now. They are signed anew
// each time, because tokens expire.
func (s *Subscription) position() (url.Values, error) {
	q, err := s.Names.query(s.Portal, time.Now())
	if err == nil && s.mid != "" {
		q.Set("mid", s.mid)
	}
	return q, err
}

// webSocket holds one connection until it ends.
func (s *Subscription) webSocket(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	q, err := s.position()
	if err != nil {
		return err
	}
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, answer, err := websocket.Dial(dial, s.Server.address(socketPath, q), &websocket.DialOptions{HTTPClient: s.Server.client, HTTPHeader: s.Server.header()})
	if err != nil {
		if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
			return refuse(answer.StatusCode, body)
		}
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxFrame)
	ctx, end := context.WithCancel(ctx)
	var pings sync.WaitGroup
	defer pings.Wait()
	defer end()
	pings.Go(func() { wsclient.KeepAlive(ctx, conn) })
	s.opened("WebSocket")
	for {
		_, payload, err := conn.Read(ctx)
		if err != nil {
			return ended(err)
		}
		if err := s.array(payload); err != nil {
			return err
		}
	}
}

// ended returns why a connection has ended.
func ended(err error) error {
	var closed websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return refusal{text: fmt.Sprintf("a frame is larger than %d bytes", maxFrame)}
	case !errors.As(err, &closed):
		return fmt.Errorf("the connection was lost: %w", plain(err))
	}
	code := strconv.Itoa(int(closed.Code))
	text := "closed by the server with " + code
	// Its reasons begin with the code.
	if said := strings.TrimPrefix(closed.Reason, code+": "); said != "" {
		text += ": " + Clean(said)
	}
	if closed.Code == wrongChannel {
		return refusal{text: text + " (" + checkKeys + ")", signature: true}
	}
	return errors.New(text)
}

// array takes an array of records.
func (s *Subscription) array(payload []byte) error {
	var records []record
	if err := json.Unmarshal(payload, &records); err != nil || len(records) == 0 {
		return errRecords
	}
	return s.take(records)
}

// errRecords is a refusal: the original server answers in its own form every time.
var errRecords = refusal{text: "what came is not a JSON record of pushgate; --url names another edge"}

// poll makes long polls until one fails.
func (s *Subscription) poll(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for asked := false; ; asked = true {
		began := time.Now()
		q, err := s.position()
		if err != nil {
			return err
		}
		if !asked {
			s.Note("polling %s", s.Server.name)
		}
		news, err := s.pollOnce(ctx, q)
		if err != nil {
			return err
		}
		s.connected = true
		if !news && time.Since(began) < firstPause { // an edge that leaves answers at once
			wait.For(ctx, firstPause)
		}
	}
}

// pollOnce makes one poll. It reports whether it brought messages.
func (s *Subscription) pollOnce(ctx context.Context, q url.Values) (news bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	r, err := s.Server.request(ctx, http.MethodGet, pollPath, q, nil)
	if err != nil {
		return false, err
	}
	answer, err := s.Server.client.Do(r)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxFrame+1))
	switch {
	case err != nil:
		return false, err
	case len(body) > maxFrame:
		return false, refusal{text: fmt.Sprintf("an answer is larger than %d bytes", maxFrame)}
	case answer.StatusCode == http.StatusNotModified:
		if id := answer.Header.Get("Last-Message-Id"); isID(id) {
			s.mid = id
		}
		return false, nil
	case answer.StatusCode != http.StatusOK:
		return false, refuse(answer.StatusCode, body)
	}
	return true, s.array(body)
}

func isID(text string) bool {
	_, err := proto.ParseID(text)
	return err == nil
}

// stream holds one stream of server-sent events until it ends.
func (s *Subscription) stream(ctx context.Context) error {
	return s.events(ctx, func(e event) error {
		switch {
		case e.data == nil && e.id != "":
			s.mid = e.id
			return nil
		case e.data == nil:
			return nil
		}
		var r record
		if err := json.Unmarshal(e.data, &r); err != nil {
			return errRecords
		}
		return s.take([]record{r})
	}, func() { s.opened("server-sent events") })
}

// event is one of a stream. Without data it says only where the stream begins, and without an id
// not even that: the edge has just started, or it is a comment.
type event struct {
	id   string
	data []byte // valid until take returns
}

// events opens a stream and calls take with each event, until take returns an error or the stream
// ends.
func (s *Subscription) events(ctx context.Context, take func(event) error, opened func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q, err := s.position()
	if err != nil {
		return err
	}
	r, err := s.Server.request(ctx, http.MethodGet, streamPath, q, nil)
	if err != nil {
		return err
	}
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer quiet.Stop()
	answer, err := s.Server.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		return refuse(answer.StatusCode, body)
	}
	opened()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxFrame)
	var e event
	for lines.Scan() {
		quiet.Reset(silence)
		text := lines.Bytes()
		if len(text) == 0 {
			if err := take(e); err != nil {
				return err
			}
			e = event{}
			continue
		}
		name, value, _ := bytes.Cut(text, []byte(": "))
		switch string(name) {
		case "id":
			if id := string(value); isID(id) {
				e.id = id
			}
		case "data":
			e.data = bytes.Clone(value)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return refusal{text: fmt.Sprintf("an event is larger than %d bytes", maxFrame)}
	case context.Cause(ctx) == errSilent:
		return errSilent
	case err != nil:
		return fmt.Errorf("the connection was lost: %w", err)
	}
	return errors.New("the server has ended the stream")
}

var errSilent = fmt.Errorf("nothing came for %v", silence)
