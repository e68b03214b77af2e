package publisher

import (
	"net/http/httptest"
	"testing"
)

// TestAmbiguousPathsAreNotFound: a path that nginx takes for another one reaches nothing, from an allowed network neither.
func TestAmbiguousPathsAreNotFound(t *testing.T) {
	for _, path := range []string{"/bitrix/pub/../rest/", "/bitrix/pub/..", "/bitrix/pub/.", "/bitrix/./pub/", "/bitrix/pub/%2e%2e/rest/", "/bitrix/pub/%2E/",
		"/bitrix/pub/..%2frest/", "/bitrix/pub/..%5crest/", `/bitrix/pub/..\rest/`, "/bitrix/pub//", "/bitrix//pub/", "/server-stat/../bitrix/rest/",
		"/register-client/../rest/", "/bitrix/pub/%252e%252e/rest/"} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			f := &fake{}
			r := httptest.NewRequest(method, path+"?CHANNEL_ID="+idA, nil)
			r.RemoteAddr = "127.0.0.1:5000"
			if w := newPublisher(config(t), f).do(r); w.Code != 404 || w.Body.Len() != 0 || len(f.got) != 0 {
				t.Errorf("%s %s: %d %q", method, path, w.Code, w.Body)
			}
		}
	}
}
