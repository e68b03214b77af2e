package doctor

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// selfTestHeld is how long the portal waits between its poll and its post.
	selfTestHeld = time.Second
	// selfTestRead is how much the portal reads of the answer, at once.
	selfTestRead = 4096
)

var errNotTrusted = errors.New("403 Forbidden")

// selfTest does what the portal's own check does, as the portal does it: it polls with HTTP/1.0,
// posts without a signature to the portal's own address, and reads the answer of the poll once. It
// returns how long the message was under way. The error is errNotTrusted if the publisher takes
// such posts, but not from here.
func (v *visit) selfTest(ctx context.Context) (saw string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tripTimeout)
	defer cancel()
	id, text := newChannel(), random()
	u := v.address("/bitrix/sub/", id)
	step := func(name string, err error) (string, error) {
		return "", fmt.Errorf("%s: %w", name, v.brief(u, err))
	}
	poll, err := dialPlain(ctx, u)
	if err != nil {
		return step("poll", err)
	}
	defer poll.Close()
	if _, err := fmt.Fprintf(poll, "GET %s HTTP/1.0\r\nIf-Modified-Since: %s\r\nHost: %s\r\n\r\n", "/"+strings.TrimPrefix(u.RequestURI(), "/"), time.Now().UTC().Format(http.TimeFormat), u.Host); err != nil {
		return step("poll", err)
	}
	if !pause(ctx, selfTestHeld) {
		return step("poll", ctx.Err())
	}
	begin := time.Now()
	if v.portal.ClientID != "" { // of many, each must sign
		err = v.post(ctx, id, text)
	} else {
		err = v.plainPost(ctx, v.publish+"?"+v.query(id.String()).Encode(), text)
	}
	if err != nil {
		return "", err
	}
	once := make([]byte, selfTestRead)
	n, err := poll.Read(once)
	head, body, whole := strings.Cut(string(once[:n]), "\r\n\r\n")
	status, _, _ := strings.Cut(head, "\r\n")
	switch {
	case n == 0:
		return step("poll", cmp.Or(err, io.ErrUnexpectedEOF))
	case !strings.Contains(status, " 200"):
		return step("poll", errors.New(status))
	case !whole || !strings.Contains(body, text):
		return step("poll", errors.New(status+", and one read does not have the message"))
	}
	took := time.Since(begin)
	if rest, err := io.ReadAll(io.LimitReader(poll, maxReady)); err != nil || len(rest) > 0 {
		return step("poll", cmp.Or(err, fmt.Errorf("%s, and %d bytes more", status, len(rest))))
	}
	return took.Round(time.Millisecond).String(), nil
}

// plainPost posts as the portal's check does. It returns an error unless an empty 200 is answered.
func (v *visit) plainPost(ctx context.Context, address, text string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(text))
	if err != nil {
		return errors.New("post: invalid address")
	}
	r.Close = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := v.client.Do(r)
	if err != nil {
		return fmt.Errorf("post: %w", v.brief(r.URL, err))
	}
	defer answer.Body.Close()
	_, err = bufio.NewReader(answer.Body).ReadByte()
	switch {
	case answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("post: %w", v.brief(r.URL, errNotTrusted))
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("post: %w", v.brief(r.URL, errors.New(answer.Status)))
	case err != io.EOF:
		return fmt.Errorf("post: %w", v.brief(r.URL, errors.New(answer.Status+", with a body")))
	}
	return nil
}

// dialPlain connects to the host of an address, as a browser's address has it, until ctx ends.
func dialPlain(ctx context.Context, u *url.URL) (net.Conn, error) {
	var conn net.Conn
	var err error
	if u.Scheme == "https" {
		dialer := tls.Dialer{}
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	} else {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	}
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return conn, nil
}
