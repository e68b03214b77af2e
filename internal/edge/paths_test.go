package edge

import (
	"io"
	"net/http"
	"testing"
)

// TestPathsWithoutASlash: every path is served with and without a slash before the query, by the
// front and by net/http, and none that only begins alike.
func TestPathsWithoutASlash(t *testing.T) {
	for _, route := range []string{"/bitrix/sub", "/bitrix/subws", "/sub", "/subws", "/bitrix/sse", "/sse"} {
		for rest, want := range map[string]int{"": 400, "/": 400, "/x": 400, "x": 404, "-/": 404} { // 400 is said of the missing list
			for _, version := range []string{"1.1", "1.0"} { // the front leaves the latter to net/http
				inFront(t, func(t *testing.T, w *world) {
					conn, reader := w.front()
					io.WriteString(conn, "GET "+route+rest+"?x=y HTTP/"+version+"\r\nHost: a\r\nConnection: close\r\n\r\n")
					resp, err := http.ReadResponse(reader, nil)
					if err != nil || resp.StatusCode != want {
						t.Errorf("%s%s: %v, %v, want %d", route, rest, resp, err, want)
					}
				})
			}
		}
	}
}

// TestAmbiguousPathsAreNotFound asks the front, through which a request passes first, and net/http,
// which has the paths that the front does not know.
func TestAmbiguousPathsAreNotFound(t *testing.T) {
	for _, path := range []string{"/bitrix/sub/../sub/", "/bitrix/sub/./", "/bitrix/sub//", "/bitrix/sub/%2e%2e/sub/", "/bitrix/subws/..%2fsub/",
		`/bitrix/subws/..\sub/`, "/bitrix/sse/../sub/", "/bitrix//sse/", "/sse/%252e/"} {
		inFront(t, func(t *testing.T, w *world) {
			conn, reader := w.front()
			io.WriteString(conn, "GET "+path+"?CHANNEL_ID=x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		})
	}
}
