package publisher

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/vectors"
)

// FuzzPublishHandler sends any request. Only documented statuses come back, an outsider learns
// nothing, and every message that reaches the log is valid.
func FuzzPublishHandler(f *testing.F) {
	for _, c := range vectors.Load(f).Parsing.Generation2.Cases {
		f.Add("POST", "/bitrix/pub/?CHANNEL_ID="+c.ChannelID, "127.0.0.1:1", "", "86400", `{"module_id":"im","command":"x"}`, false)
	}
	f.Add("GET", "/pub/?CHANNEL_ID="+idA+"%2F"+idB, "[::1]:1", "127.0.0.1", "", "", true)
	f.Add("POST", "/pub/?signature=00&CHANNEL_ID="+idA, "192.0.2.1:1", "1.2.3.4, ::1", " -1", "#!NGINXNMS!#", false)
	f.Add("DELETE", "/server-stat/", "@", "unix:", "junk", "\xff\u2028", false)
	f.Add("GET", "/server-stat/;?&=%", "127.0.0.1:1", "", "", "", false)

	conf := config(f)
	conf.Limits.Payload = 1 << 10
	old := conf
	old.Grammar = channel.Alphanumeric
	log := &fake{}
	publishers := []*Publisher{newPublisher(conf, log), newPublisher(old, log)}
	f.Fuzz(func(t *testing.T, method, target, addr, forwardedFor, expiry, body string, chunked bool) {
		for _, p := range publishers {
			log.got = nil
			r := request(http.MethodGet, target, body)
			r.Method, r.RemoteAddr = method, addr
			r.Header["Message-Expiry"] = []string{expiry}
			if forwardedFor != "" {
				r.Header["X-Forwarded-For"] = strings.Split(forwardedFor, "|")
			}
			if chunked {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			p.Handler().ServeHTTP(w, r)
			if !slices.Contains([]int{200, 400, 403, 404, 413}, w.Code) {
				t.Errorf("status %d", w.Code)
			}
			if w.Header().Get("Content-Type") != "text/plain" {
				t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
			}
			outside := !p.within(peer(r))
			if outside && !strings.Contains(target, "sig") && !strings.Contains(target, "%") && w.Code != 403 && w.Code != 404 {
				t.Errorf("an outsider was answered %d", w.Code)
			}
			for _, m := range log.got {
				if w.Code != 200 || len(m.Receivers) == 0 || m.TTL <= 0 || len(m.Body) == 0 || strings.Contains(string(m.Body), "#!NGINXNM") {
					t.Errorf("%d, appended %+v", w.Code, m)
				}
			}
		}
	})
}
