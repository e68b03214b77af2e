package publisher

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

// TestRefusedPortalLeavesALine: what a portal cannot know and only an operator can mend leaves a
// line a minute, with the addresses that decide and the setting to change. It holds no secret, and
// does not say that a key is wrong.
func TestRefusedPortalLeavesALine(t *testing.T) {
	const outside, signed = "192.0.2.1:5000", "&signature=SIGNATURE"
	for name, c := range map[string]struct {
		target, from string
		header       []string
		set          func(*settings)
		status       int
		want         []string
	}{
		"another network": {target: "POST /bitrix/pub?CHANNEL_ID=" + idA, from: outside, status: 403,
			want: []string{"reason=forbidden", "route=/bitrix/pub ", "portal=default", "peer=192.0.2.1 ", "PUSHGATE_PUBLISH_ALLOW"}},
		"another network, through a proxy": {target: "POST /bitrix/pub/?CHANNEL_ID=" + idA, header: []string{"X-Forwarded-For", "not an address, 198.51.100.7"}, status: 403,
			want: []string{"peer=127.0.0.1 ", `x-forwarded-for="unknown, 198.51.100.7" `}},
		"another network, through two proxies": {target: "POST /bitrix/pub/?CHANNEL_ID=" + idA, header: []string{"Forwarded", "for=198.51.100.7, for=127.0.0.1"}, status: 403,
			want: []string{`forwarded="198.51.100.7, 127.0.0.1" `}},
		"addresses without end": {target: "POST /bitrix/pub/?CHANNEL_ID=" + idA, header: []string{"X-Forwarded-For", strings.Repeat("192.0.2.1,", 1000)}, status: 403,
			want: []string{`x-forwarded-for="` + strings.Repeat("192.0.2.1, ", 8) + `and more" `}},
		"a proxy that names no address": {target: "POST /bitrix/pub/?CHANNEL_ID=" + idA, header: []string{"X-Real-Ip", idB}, status: 403,
			want: []string{"x-real-ip=unknown "}},
		"who is online": {target: "GET /bitrix/pub/?CHANNEL_ID=" + idA, from: outside, status: 403, want: []string{"method=GET", "PUSHGATE_PUBLISH_ALLOW"}},
		"statistics":    {target: "GET /server-stat/", from: outside, status: 403, want: []string{"route=/server-stat ", "PUSHGATE_PUBLISH_ALLOW"}},
		"signatures only": {target: "POST /bitrix/pub/?CHANNEL_ID=" + idA, set: func(s *settings) { s.Signed = true }, status: 403,
			want: []string{"PUSHGATE_PUBLISH_SIGNED"}},
		"a client id": {target: "POST /pub/?clientId=" + clientA + "&CHANNEL_ID=" + idA, set: func(s *settings) { s.ClientID = clientA }, status: 400,
			want: []string{"reason=request_signature", "portal=" + clientA, "register"}},
		"an unknown client id": {target: "POST /pub/?clientId=" + clientB + "&CHANNEL_ID=" + idA, set: func(s *settings) { s.ClientID = clientA }, status: 400,
			want: []string{"reason=client_id", "PUSHGATE_PORTALS"}},
		"an unknown host id": {target: "POST /api/?hostId=other" + signed, set: func(s *settings) { s.HostID = "this" }, status: 400,
			want: []string{"reason=host ", "PUSHGATE_HOST_ID"}},
		"a page":        {target: "POST /pub/?CHANNEL_ID=" + idA, header: []string{"Origin", "https://portal.example.com"}, status: 403, want: []string{"reason=cross_site", "page"}},
		"a wrong clock": {target: "POST /pub/?CHANNEL_ID=" + idA + signed, from: outside, set: func(s *settings) { s.Window = time.Minute }, status: 403, want: []string{"reason=signature_time", "clocks"}},
		"another host": {target: "POST /pub/?CHANNEL_ID=" + idA, set: func(s *settings) { s.Hosts = []string{"push.example.com"} }, status: 403,
			want: []string{"reason=unknown_host", "host=example.com ", "PUSHGATE_HOSTS"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				settings := config(t)
				if c.set != nil {
					c.set(&settings)
				}
				signature := testkit.Signer(testKey).SignBody([]byte("hello"))
				var lines strings.Builder
				p := newLogging(settings, &fake{}, slog.New(slog.NewTextHandler(&lines, nil)))
				ask := func() {
					method, target, _ := strings.Cut(c.target, " ")
					r := request(method, strings.ReplaceAll(target, "SIGNATURE", signature), "hello")
					if c.from != "" {
						r.RemoteAddr = c.from
					}
					if c.header != nil {
						r.Header.Set(c.header[0], c.header[1])
					}
					if w := p.do(r); w.Code != c.status {
						t.Errorf("status %d, want %d", w.Code, c.status)
					}
				}
				for range 3 {
					ask()
				}
				time.Sleep(unmatchedInterval)
				ask()
				text := lines.String()
				for _, want := range append(c.want, "level=WARN", `msg="request refused"`, "times=3") {
					if !strings.Contains(text, want) {
						t.Errorf("no %q in %s", want, text)
					}
				}
				if strings.Count(text, "\n") != 2 {
					t.Errorf("four refusals within a minute: %s", text)
				}
				for _, secret := range []string{idA, idB, signature, "no key"} {
					if strings.Contains(text, secret) {
						t.Errorf("%q in %s", secret, text)
					}
				}
			})
		})
	}
}

// TestAcceptedPortalLeavesNoLine: nothing is logged about posts that are accepted.
func TestAcceptedPortalLeavesNoLine(t *testing.T) {
	var lines strings.Builder
	settings := config(t)
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	p := newLogging(settings, &fake{}, slog.New(slog.NewTextHandler(&lines, nil)))
	r := request("POST", "/bitrix/pub/?CHANNEL_ID="+idA, "hello")
	r.RemoteAddr = "192.0.2.1:5000"
	if w := p.do(r); w.Code != 200 || lines.Len() != 0 {
		t.Errorf("%d, %s", w.Code, lines.String())
	}
}

// TestLongMethodLeavesAShortLine: a line about a request that names another host has little of what
// its sender can write at any length.
func TestLongMethodLeavesAShortLine(t *testing.T) {
	var lines strings.Builder
	settings := config(t)
	settings.Hosts = []string{"push.example.com"}
	p := newLogging(settings, &fake{}, slog.New(slog.NewTextHandler(&lines, nil)))
	r := request("GET", "/pub/", "")
	r.Method, r.Host = strings.Repeat("M-", 30<<10)+idA, strings.Repeat("h.", 30<<10)
	if w := p.do(r); w.Code != 403 || !strings.Contains(lines.String(), "reason=unknown_host method=M-M-") || lines.Len() > 1000 {
		t.Errorf("%d, %d bytes: %.100s", w.Code, lines.Len(), lines.String())
	}
}
