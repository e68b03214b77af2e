package main

import (
	"net/http"
	"strings"
	"testing"
)

// ask makes a request of a server and returns the status of its answer. Redirects are not followed.
func ask(t *testing.T, method, url, body string, header ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	r.Close = true
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestOwnPageMayPost: the page of the server posts without a signature, and no other page does.
func TestOwnPageMayPost(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	own := strings.TrimSuffix(url, "/")
	target := own + "/bitrix/pub/?CHANNEL_ID=" + strings.Repeat("0", 32)
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, 200},
		{[]string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Origin", "http://evil.test", "Sec-Fetch-Site", "same-origin", "Host", "evil.test"}, 403},
		{[]string{"Origin", "null"}, 403},
	} {
		if got := ask(t, "POST", target, "hello", c.header...); got != c.want {
			t.Errorf("%v: %d, want %d", c.header, got, c.want)
		}
	}
}

// TestDevPaths: dev serves the paths that the programs serve, with and without a slash, and
// redirects none.
func TestDevPaths(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	id := "?CHANNEL_ID=" + strings.Repeat("0", 32)
	for path, want := range map[string]int{
		"POST /bitrix/pub": 200, "POST /bitrix/pub/": 200, "POST /pub": 200, "GET /server-stat": 200, "GET /server-stat/": 200,
		"POST /bitrix/rest": 400, "POST /rest": 400, "POST /bitrix/pubweb": 400, "POST /bitrix/api": 400, "POST /api": 400,
		"GET /bitrix/sub": 400, "GET /bitrix/subws": 400, "GET /bitrix/sse": 400, "GET /sub": 400, "GET /subws": 400, "GET /sse": 400,
		"POST /bitrix/pubx": 404, "GET /bitrix/subx": 404, "POST /bitrix/pub//": 404, "POST /bitrix//pub": 404, "POST /bitrix/rest/%2e%2e/pub/": 404,
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := ask(t, method, strings.TrimSuffix(url, "/")+path+id, "hello"); got != want {
			t.Errorf("%s %s: %d, want %d", method, path, got, want)
		}
	}
}
