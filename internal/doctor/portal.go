package doctor

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/sign"
)

var portalIDs = []string{"portal.post", "portal.websocket", "portal.poll", "portal.sse", "portal.selftest", "portal.closed"}

const (
	tripTimeout = 10 * time.Second // for a message on one transport
	refusedWait = 3 * time.Second  // in which a post that was taken would have arrived
	maxStream   = 256 << 10        // bytes that are read of a transport
	firstPost   = 500 * time.Millisecond
	repeatPost  = 2 * time.Second // a poll may not have been held when the first post came
)

// visit is a look at the public addresses.
type visit struct {
	base    *url.URL
	publish string
	portal  *portal.Portal
	timed   bool // signatures must have a time
	client  *http.Client
}

// portal publishes and receives through the public addresses.
func (e *exam) portal(ctx context.Context, s *sheet) {
	if e.portals == nil {
		s.unknown(noSettings, "", portalIDs...)
		return
	}
	v := e.visit()
	defer v.client.CloseIdleConnections()
	transports := map[string]func(context.Context, channel.ID, string) error{
		"portal.websocket": v.socket, "portal.poll": v.poll, "portal.sse": v.stream,
	}
	if err := v.post(ctx, newChannel(), "doctor"); err != nil {
		s.add("portal.post", Error, err.Error())
		s.unknown(noPost, "", portalIDs...)
		return
	}
	s.add("portal.post", OK, v.publish)
	var mu sync.Mutex
	var trips sync.WaitGroup
	for id, receive := range transports {
		trips.Go(func() {
			begin := time.Now()
			err := v.trip(ctx, receive)
			mu.Lock()
			defer mu.Unlock()
			bad := Error
			if id == "portal.sse" { // portals' clients do not use it
				bad = Warning
			}
			if err != nil {
				s.add(id, bad, err.Error())
			} else {
				s.add(id, OK, time.Since(begin).Round(time.Millisecond).String())
			}
		})
	}
	trips.Go(func() {
		saw, err := v.selfTest(ctx)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, errNotTrusted):
			s.unknown(notThePortal, err.Error(), "portal.selftest")
		case err != nil:
			s.add("portal.selftest", Error, err.Error())
		default:
			s.add("portal.selftest", OK, saw)
		}
	})
	trips.Go(func() {
		taken, saw := v.taken(ctx)
		mu.Lock()
		defer mu.Unlock()
		s.check("portal.closed", taken, Error, saw)
	})
	trips.Wait()
}

// visit makes one. The portals must be known.
func (e *exam) visit() *visit {
	base, _ := url.Parse(e.Portal) // Run has checked it
	return &visit{base: base, publish: e.Publish, portal: e.portals.All()[0], timed: e.settings.Window > 0, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: nil, ResponseHeaderTimeout: tripTimeout, MaxIdleConnsPerHost: crowdPosters},
	}}
}

// trip publishes to a new channel while receive waits for the message.
func (v *visit) trip(ctx context.Context, receive func(context.Context, channel.ID, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, tripTimeout)
	defer cancel()
	id, text := newChannel(), random()
	received := make(chan error, 1)
	go func() { received <- receive(ctx, id, text) }()
	next := time.NewTimer(firstPost)
	defer next.Stop()
	for {
		select {
		case err := <-received:
			return err
		case <-next.C:
			next.Reset(repeatPost)
			if err := v.post(ctx, id, text); err != nil && ctx.Err() == nil {
				cancel()
				<-received
				return err
			}
		}
	}
}

// query returns the parameters that name a list of channels of the portal.
func (v *visit) query(list string) url.Values {
	query := url.Values{"CHANNEL_ID": {list}}
	if v.portal.ClientID != "" {
		query.Set("clientId", v.portal.ClientID)
	}
	return query
}

// post publishes a signed message as the portal does, on the portal's own address.
func (v *visit) post(ctx context.Context, id channel.ID, text string) error {
	body := []byte(strconv.Quote(text))
	query := v.query(id.String())
	if v.timed {
		now := time.Now().Unix()
		query.Set("timestamp", strconv.FormatInt(now, 10))
		query.Set("signature", v.portal.Signer.SignPost(sign.Post{Time: now, Channels: id.String(), Body: body}))
	} else {
		query.Set("signature", v.portal.Signer.SignBody(body))
	}
	return v.send(ctx, v.publish+"?"+query.Encode(), body)
}

// send makes a post, and returns an error unless it is accepted. No error has the address.
func (v *visit) send(ctx context.Context, address string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("invalid address")
	}
	r.Header.Set("Message-Expiry", "60")
	answer, err := v.client.Do(r)
	if err != nil {
		return v.brief(r.URL, err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxReady))
	if answer.StatusCode != http.StatusOK {
		return v.brief(r.URL, errors.New(answer.Status))
	}
	return nil
}

// brief returns an error about a request without the query of its address, which has signatures.
func (v *visit) brief(u *url.URL, err error) error {
	var detailed *url.Error
	if errors.As(err, &detailed) {
		err = detailed.Err
	}
	return fmt.Errorf("%s://%s%s: %w", u.Scheme, u.Host, u.Path, err)
}

// address returns a public address to subscribe to channels at.
func (v *visit) address(path string, ids ...channel.ID) *url.URL {
	var list []string
	for _, id := range ids {
		list = append(list, v.portal.Signer.Sign(channel.Ref{Private: id}).String())
	}
	u := v.base.JoinPath(path)
	u.RawQuery = v.query(strings.Join(list, "/")).Encode()
	return u
}

// socket waits for a message on a WebSocket.
func (v *visit) socket(ctx context.Context, id channel.ID, text string) error {
	u := v.address("/bitrix/subws/", id)
	conn, err := v.dial(ctx, id)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxStream)
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return v.brief(u, err)
		}
		if bytes.Contains(frame, []byte(text)) {
			return nil
		}
	}
}

// poll waits for a message on long polls.
func (v *visit) poll(ctx context.Context, id channel.ID, text string) error {
	return v.receive(ctx, v.address("/bitrix/sub/", id), text, http.StatusNotModified)
}

// stream waits for a message on a stream of server-sent events.
func (v *visit) stream(ctx context.Context, id channel.ID, text string) error {
	return v.receive(ctx, v.address("/bitrix/sse/", id), text, 0)
}

// receive reads an answer until it has a text. An answer of status again is asked for again.
func (v *visit) receive(ctx context.Context, u *url.URL, text string, again int) error {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return errors.New("invalid address")
		}
		answer, err := v.client.Do(r)
		if err != nil {
			return v.brief(u, err)
		}
		err = contains(answer, text)
		answer.Body.Close()
		if answer.StatusCode != again || again == 0 {
			if err != nil {
				err = v.brief(u, err)
			}
			return err
		}
	}
}

// contains reads an answer until it has a text.
func contains(answer *http.Response, text string) error {
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	body := bufio.NewReader(io.LimitReader(answer.Body, maxStream))
	for {
		line, err := body.ReadString('\n')
		if strings.Contains(line, text) {
			return nil
		}
		if err == io.EOF {
			return errors.New(answer.Status + ", and it ended without the message")
		}
		if err != nil {
			return err
		}
	}
}

// taken posts without a signature through the public address, and reports whether the message went
// into the log: then it arrives.
func (v *visit) taken(ctx context.Context) (arrived bool, saw string) {
	ctx, cancel := context.WithTimeout(ctx, tripTimeout)
	defer cancel()
	id, text := newChannel(), random()
	u := v.base.JoinPath("/bitrix/pub/")
	u.RawQuery = v.query(id.String()).Encode()
	err := v.send(ctx, u.String(), []byte(strconv.Quote(text)))
	if err != nil {
		return false, err.Error()
	}
	// Something said 200, which may be a page of the portal. What was published is in the log: a
	// reader that has seen nothing yet gets it.
	wait, stop := context.WithTimeout(ctx, refusedWait)
	defer stop()
	read := v.address("/bitrix/sub/", id)
	read.RawQuery += "&mid=" + strings.Repeat("0", 26)
	err = v.receive(wait, read, text, 0)
	return err == nil, v.brief(u, errors.New("200")).Error()
}

// newChannel returns the id of a channel that nobody else has.
func newChannel() channel.ID {
	var raw [channel.IDLen / 2]byte
	rand.Read(raw[:]) // never fails
	return channel.FromBytes(raw)
}

// random returns a text that no other message has.
func random() string {
	var raw [8]byte
	rand.Read(raw[:])
	return "pushgate-doctor-" + hex.EncodeToString(raw[:])
}
