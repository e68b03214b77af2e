package client

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// sdk is the package's own build for browsers.
const sdk = "node_modules/@bitrix24/b24jssdk/dist/umd/index.min.js"

// portal is the part of a Bitrix24 portal that a page needs: the page itself, and REST, which
// stands for PHP here, and whose calls are counted.
type portal struct {
	push      string // host and port of the push server
	version   int    // of the push server, as the administrator chose it
	webSocket bool   // what he ticked

	page *httptest.Server
	rest *httptest.Server // the package calls REST over TLS only

	mu     sync.Mutex
	signer *sign.Signer
	life   time.Duration // of the tokens that it issues
	calls  []call
}

// call is a call of REST.
type call struct {
	Method string
	User   string
	At     time.Time
}

func newPortal(t *testing.T, push string, version int, webSocket bool) *portal {
	t.Helper()
	p := &portal{push: push, version: version, webSocket: webSocket, life: 12 * time.Hour}
	p.setKey(e2e.Key)
	mux := http.NewServeMux()
	for path, file := range map[string]string{"/{$}": "page/index.html", "/page.js": "page/page.js", "/sdk.js": sdk} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.FromSlash(file)) })
	}
	p.page = httptest.NewServer(mux)
	t.Cleanup(p.page.Close)
	rest := http.NewServeMux()
	rest.HandleFunc("POST /rest/{user}/{secret}/{method}", p.call)
	rest.HandleFunc("OPTIONS /", allow) // the page is of another origin
	p.rest = httptest.NewTLSServer(rest)
	t.Cleanup(p.rest.Close)
	return p
}

// setKey changes the key that the portal signs with.
func (p *portal) setKey(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signer = testkit.Signer(key)
}

// setLife changes how long the portal's tokens live.
func (p *portal) setLife(life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = life
}

// address returns the page of a user.
func (p *portal) address(user int) string {
	return fmt.Sprintf("%s/?user=%d&rest=%s", p.page.URL, user, url.QueryEscape(fmt.Sprintf("%s/rest/%d/secret", p.rest.URL, user)))
}

// inbox returns the public channel of a user, and the signature with which a page may write to
// it.
func (p *portal) inbox(user int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return public(user).String() + "." + p.right(user)
}

// lastSeen is the call by which a page asks PHP when users were last seen.
const lastSeen = "pull.api.user.getLastSeen"

// asked returns how often the page of a user asked PHP when users were last seen.
func (p *portal) asked(user int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.User == fmt.Sprint(user) && c.Method == lastSeen {
			n++
		}
	}
	return n
}

// configs returns when the page of a user asked for a configuration; any other call than [lastSeen]
// fails the test.
func (p *portal) configs(t *testing.T, user int) (at []time.Time) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.User != fmt.Sprint(user) || c.Method == lastSeen {
			continue
		}
		if c.Method != "pull.config.get" {
			t.Errorf("the page of user %d called %s", user, c.Method)
		}
		at = append(at, c.At)
	}
	return at
}

func allow(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "*")
	w.Header().Set("Access-Control-Allow-Methods", "POST")
}

// call answers as REST does.
func (p *portal) call(w http.ResponseWriter, r *http.Request) {
	allow(w, r)
	now := time.Now()
	var user int
	fmt.Sscan(r.PathValue("user"), &user)
	method := strings.TrimSuffix(r.PathValue("method"), ".json")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call{method, r.PathValue("user"), now})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	var result object
	switch method {
	case "pull.config.get":
		result = p.config(user, now)
	case lastSeen:
		result = object{"3": 100} // each test decides itself what the push server sends
	default:
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(object{"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"})
		return
	}
	json.NewEncoder(w).Encode(object{"result": result, "time": object{
		"start": unix(now), "finish": unix(now), "duration": 0.001, "processing": 0.001,
		"date_start": iso(now), "date_finish": iso(now), "operating_reset_at": now.Unix() + 600, "operating": 0}})
}

type object = map[string]any

// config returns the configuration with which a user's page connects.
func (p *portal) config(user int, now time.Time) object {
	span := func(o object) object {
		o["start"], o["end"] = iso(now), iso(now.Add(12*time.Hour+5*time.Second))
		return o
	}
	own := channel.Ref{Private: private(user)}
	var publicChannels any = false
	if p.version >= 4 {
		own.Public = public(user)
		list := object{}
		for other := 1; other <= 3; other++ {
			list[fmt.Sprint(other)] = span(object{"user_id": other, "public_id": public(other).String(), "signature": p.right(other)})
		}
		publicChannels = list
	}
	config := object{
		"server": object{
			"version": p.version, "server_enabled": true, "mode": "personal", "hostname": p.push,
			"long_polling": "http://" + p.push + "/bitrix/sub/",
			// The portal's own spelling.
			"long_pooling_secure": "https://" + p.push + "/bitrix/sub/",
			"websocket_enabled":   p.webSocket,
			"websocket":           "ws://" + p.push + "/bitrix/subws/",
			"websocket_secure":    "wss://" + p.push + "/bitrix/subws/",
			"publish_enabled":     p.version > 3,
			"publish":             "http://" + p.push + "/bitrix/rest/",
			"publish_secure":      "https://" + p.push + "/bitrix/rest/",
			"config_timestamp":    0,
		},
		"api": object{"revision_web": revision, "revision_mobile": 3},
		"channels": object{
			"shared":  span(object{"id": p.signer.Sign(channel.Ref{Private: shared}).String(), "type": "shared"}),
			"private": span(object{"id": p.signer.Sign(own).String(), "type": "private", "public_id": public(user).String() + "." + p.right(user)}),
		},
		"publicChannels": publicChannels,
		"serverTime":     iso(now),
	}
	if p.version >= 5 {
		token := sign.Token{User: int64(user), Channels: []channel.ID{shared}, Expires: now.Add(p.life)}
		if user >= firstGuest {
			token.User, token.Channels = 0, []channel.ID{private(user), public(user)}
		}
		config["jwt"], config["exp"] = p.signer.SignToken(token, hostID, now), token.Expires.Unix()
	}
	return config
}

// hostID is the portal's option host_id.
const hostID = "hOsTiD0123456789hOsTiD0123456789"

// firstGuest is the lowest number that stands for a guest on an open page instead of a user of the
// portal.
const firstGuest = 100

// right returns the signature with which one may write to the public channel of a user. p.mu is
// held.
func (p *portal) right(user int) string {
	return p.signer.SignBody([]byte("public:" + public(user).String()))
}

// revision is the API's; a page that receives another one switches its client off until it is
// loaded again.
const revision = 19

// shared is the channel of all users. private and public are those of one user.
var shared = newChannel("shared")

func private(user int) channel.ID { return newChannel(fmt.Sprint("private ", user)) }

func public(user int) channel.ID { return newChannel(fmt.Sprint("public ", user)) }

func newChannel(name string) channel.ID { return channel.FromBytes(md5.Sum([]byte(name))) }

// say returns the body of the portal's message number n, with its text.
func say(n int) string {
	return event("e2e", "say", object{"n": n, "text": text(n)})
}

// event returns the body of a message of the portal.
func event(module, command string, params any) string {
	now := time.Now()
	b, err := json.Marshal(object{"module_id": module, "command": command, "params": params, "extra": object{
		"server_time": iso(now), "server_time_unix": unix(now), "server_name": "portal.example.com",
		"revision_web": revision, "revision_mobile": 3}})
	if err != nil {
		panic(err) // what is passed here always has a form in JSON
	}
	return strings.ReplaceAll(string(b), `\u2028`, "\u2028") // as a sender may who is not PHP
}

// text returns the text of message n, with characters that programs on the way could damage:
// outside of ASCII, outside of the basic plane, and ends of lines.
func text(n int) string { return fmt.Sprintf("№%d привет \u2028 \U0001F427 </script>\n", n) }

func iso(t time.Time) string   { return t.Format("2006-01-02T15:04:05-07:00") }
func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// randomKey returns a signature key that no edge has.
func randomKey() string {
	return strings.Repeat(hex.EncodeToString([]byte("another!")), 4)
}

// requireSDK ends the test if the package is not installed.
func requireSDK(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(sdk); err != nil {
		e2e.Missing(t, "@bitrix24/b24jssdk is not installed: npm ci --prefix e2e/client")
	}
}
