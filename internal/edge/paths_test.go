package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestPathsWithoutASlash: every path is served with and without a slash before the query. A path
// that only has the same beginning is not.
func TestPathsWithoutASlash(t *testing.T) {
	for _, route := range []string{"/bitrix/sub", "/bitrix/subws", "/sub", "/subws", "/bitrix/sse", "/sse"} {
		// 400 is for the missing list.
		for rest, want := range map[string]int{"": 400, "/": 400, "/x": 400, "x": 404, "-/": 404} {
			for _, version := range []string{"1.1", "1.0"} {
				inWorldOf(t, newRestingPipe, nil, func(t *testing.T, w *world) {
					conn, reader := w.connect()
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

// TestAmbiguousPathsAreNotFound: a proxy may have read such a path as another one.
func TestAmbiguousPathsAreNotFound(t *testing.T) {
	for _, path := range []string{"/bitrix/sub/../sub/", "/bitrix/sub/./", "/bitrix/sub//", "/bitrix/sub/%2e%2e/sub/", "/bitrix/subws/..%2fsub/",
		`/bitrix/subws/..\sub/`, "/bitrix/sse/../sub/", "/bitrix//sse/", "/sse/%252e/"} {
		inWorldOf(t, newRestingPipe, nil, func(t *testing.T, w *world) {
			conn, reader := w.connect()
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

// connect opens a connection on which w's edge waits for a request.
func (w *world) connect() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := w.listener.dial(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}
