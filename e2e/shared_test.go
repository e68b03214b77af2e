package e2e

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// TestSharedMode does what a portal on another machine does, which knows only the address of its
// push server and its licence key. It registers, and then derives all other addresses from that
// one.
func TestSharedMode(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 1, Portals: 2})
	server := "http://" + w.Public
	p, neighbour := w.Portals[0], w.Portals[1]

	register := func(kind, licence string) (answer struct{ Status, SecurityKey, Error string }) {
		t.Helper()
		digest := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
		query := url.Values{"BX_LICENCE": {p.ClientID}, "BX_TYPE": {kind}, "BX_HASH": {digest(digest(p.ClientID+"|"+kind) + digest(licence))}, "BX_ALL": {"y"}}
		r, err := http.PostForm(server+"/register-client/", url.Values{"verificationQuery": {query.Encode()}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v %s", err, r.Status)
		}
		return answer
	}
	if got := register("CP", "another licence"); got.Status != "error" || got.Error != "WRONG_SIGN" || got.SecurityKey != "" {
		t.Errorf("%+v", got)
	}
	registered := register("CP", p.Licence)
	if registered.Status != "success" {
		t.Fatalf("%+v", registered)
	}
	signer := testkit.Signer(registered.SecurityKey)

	id := NewChannel()
	poll := func(p *Portal, signer *sign.Signer) <-chan string {
		address := server + "/subws/?CHANNEL_ID=" + signer.Sign(channel.Ref{Private: id}).String() + "&clientId=" + p.ClientID
		answers := make(chan string, 1)
		go func() {
			_, text, err := w.Do(context.WithoutCancel(t.Context()), http.MethodGet, address, "")
			answers <- fmt.Sprint(string(text), err)
		}()
		return answers
	}
	mine, theirs := poll(p, signer), poll(neighbour, neighbour.Signer)
	const body = `{"module_id":"main","command":"hello"}`
	post := server + "/pub/?clientId=" + p.ClientID + "&CHANNEL_ID=" + id.String()
	got := ""
	testkit.Wait(func() bool {
		if status, text, err := w.Do(t.Context(), http.MethodPost, post+"&signature="+signer.SignBody([]byte(body)), body); err != nil || status != http.StatusOK || len(text) > 0 {
			t.Fatalf("%v %d %s", err, status, text)
		}
		select {
		case got = <-mine:
			return true
		case <-time.After(100 * time.Millisecond): // the poll may not have been there yet
			return false
		}
	})
	if !strings.Contains(got, body) {
		t.Errorf("the portal's own subscriber got %q", got)
	}
	select {
	case got := <-theirs:
		t.Errorf("the neighbour's subscriber got %q", got)
	default:
	}

	for what, address := range map[string]string{
		"4026: Wrong request signature.": post,
		"4025: Client Id is required.":   server + "/pub/?CHANNEL_ID=" + id.String(),
	} {
		if status, text, err := w.Do(t.Context(), http.MethodPost, address, body); err != nil || status != http.StatusBadRequest || string(text) != what {
			t.Errorf("%v %d %s, want %s", err, status, text, what)
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/hostname", 200}, {"GET", "/servers", 200}, {"HEAD", "/hostname", 404}, {"POST", "/servers", 404}, {"GET", "/hostname/", 404},
		{"GET", "/servers/x", 404}, {"GET", "/%73ervers", 404}, {"GET", "/x/../hostname", 404}, {"GET", "/bitrix/hostname", 404},
	} {
		if status := askRaw(t, w.Public, c.method, c.path, "", ""); status != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, status, c.want)
		}
	}
	if asked, err := w.Publishers[0].Metric(t.Context(), "pushgate_shared_host_questions_total"); err != nil || asked != 2 {
		t.Errorf("%v questions are counted, %v", asked, err)
	}
	conn := dial(t, w.Public)
	fmt.Fprintf(conn, "GET /subws/?CHANNEL_ID=%s&clientId=%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", signer.Sign(channel.Ref{Private: id}), strings.Repeat("0", 32))
	answer := make([]byte, 4096)
	n, err := io.ReadAtLeast(conn, answer, len("HTTP/1.1 400"))
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 400 ") {
		t.Errorf("an upgrade of an unknown portal: %v %q", err, answer[:n])
	}
}
