package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// askRaw sends a request whose path is written as it is, and returns the status of the answer.
func askRaw(t *testing.T, addr, method, path, query, body string) int {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, query, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestDotSegmentsThroughNginx tries to reach publishing, statistics and registration by paths that
// nginx reads as others, at both of its listeners and without it. All requests come from an allowed
// network.
func TestDotSegmentsThroughNginx(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=100ms"}})
	id := NewChannel()
	query := "CHANNEL_ID=" + id.String()
	var paths []string
	for _, from := range []string{"/bitrix/pub/", "/pub/", "/server-stat/", "/register-client/", "/bitrix/sub/"} {
		for _, up := range []string{"../", "%2e%2e/", "%2E%2E/", ".%2e/", "..%2f", "..%2F", "./../", "x/../../", "%2e/../", "/../../"} {
			levels := strings.Count(from, "/") - 1
			for _, to := range []string{"bitrix/rest/", "bitrix/api/", "bitrix/sub/", "bitrix/sse/"} {
				paths = append(paths, from+strings.Repeat(up, levels)+to)
			}
		}
	}
	paths = append(paths, `/bitrix/pub/..\rest/`, "/bitrix/pub/..%5crest/", "/bitrix/pub/%252e%252e/rest/", "/bitrix/pub/.", "/bitrix/pub/..",
		"/bitrix//pub/", "//bitrix/pub/", "/bitrix/rest/..%2fpub/", "/bitrix/rest/../pub/", "/bitrix/sub/./", "/bitrix/sub//")
	for _, path := range paths {
		for _, method := range []string{"GET", "POST"} {
			for _, at := range []string{w.Public, w.Publishers[0].Addr, w.Edges[0].Addr} {
				// Nginx says 400 above the root.
				if status := askRaw(t, at, method, path, query, "hello"); status != 404 && status != 400 {
					t.Errorf("%s %s at %s: %d", method, path, at, status)
				}
			}
			if status := askRaw(t, w.Internal, method, path, query, "hello"); status != 404 && status != 403 && status != 400 {
				t.Errorf("%s %s at the internal listener: %d", method, path, status)
			}
		}
	}
	for _, name := range []string{"pushgate_published_total", "pushgate_online_questions_total", "pushgate_publish_refused_total"} {
		if n, err := w.Publishers[0].Metric(t.Context(), name); err == nil && n != 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
}

// TestPathsWithoutASlash asks nginx for every path with and without a slash before the query, as
// deployments do.
func TestPathsWithoutASlash(t *testing.T) {
	t.Parallel()
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=100ms"}})
	id := NewChannel()
	signed := "CHANNEL_ID=" + w.Signed(id)
	const call = `{"jsonrpc":"2.0","method":"publish","params":{"userList":[5],"body":{}}}`
	signature := "signature=" + w.Signer.SignBody([]byte(call))
	for _, slash := range []string{"", "/", "/x"} {
		for _, c := range []struct {
			at, method, route, query, body string
			want                           int
		}{
			{w.Internal, "POST", "/bitrix/pub", "CHANNEL_ID=" + id.String(), "hello", 200},
			{w.Internal, "POST", "/pub", "CHANNEL_ID=" + id.String(), "hello", 200},
			{w.Internal, "GET", "/bitrix/pub", "CHANNEL_ID=" + id.String(), "", 200},
			{w.Internal, "GET", "/server-stat", "", "", 200},
			{w.Internal, "POST", "/bitrix/api", signature, call, 200},
			{w.Public, "POST", "/bitrix/api", signature, call, 200},
			// Refused for the missing public id.
			{w.Public, "POST", "/bitrix/rest", signed, "x", 400},
			{w.Public, "POST", "/bitrix/pubweb", signed, "x", 400},
			{w.Public, "POST", "/bitrix/pub", "CHANNEL_ID=" + id.String(), "hello", 404},
			{w.Public, "POST", "/rest", signed, "x", 404}, // the portal's own
			{w.Public, "GET", "/bitrix/sub", signed, "", 304},
			{w.Public, "GET", "/bitrix/subws", signed, "", 304},
			{w.Public, "GET", "/sub", signed, "", 304},
			{w.Public, "GET", "/bitrix/sse", "CHANNEL_ID=x", "", 400},
			{w.Internal, "GET", "/bitrix/sub", signed, "", 304},
		} {
			if status := askRaw(t, c.at, c.method, c.route+slash, c.query, c.body); status != c.want {
				t.Errorf("%s %s%s at %s: %d, want %d", c.method, c.route, slash, c.at, status, c.want)
			}
		}
	}
	for path, want := range map[string]int{"/bitrix/pubx": 403, "/bitrix/subx": 403} {
		if status := askRaw(t, w.Internal, "GET", path, signed, ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}
