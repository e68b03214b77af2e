package edge

import (
	"io"
	"net/http"
	"testing"
)

// TestAmbiguousPathsAreNotFound asks the front, through which a request passes first, and net/http, which has the paths that the
// front does not know.
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
