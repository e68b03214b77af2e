package publisher

import (
	"net/http/httptest"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// TestPathsWithoutASlash: every path is served with and without a slash before the query. A path
// that only has the same beginning is not.
func TestPathsWithoutASlash(t *testing.T) {
	const call = `{"jsonrpc":"2.0","method":"publish","params":{"userList":[5],"body":{}}}`
	for _, c := range []struct {
		method, query, body string
		routes              []string
	}{
		{"POST", "?CHANNEL_ID=" + idA, "hello", []string{"/bitrix/pub", "/pub"}},
		{"GET", "?CHANNEL_ID=" + idA, "", []string{"/bitrix/pub", "/pub"}},
		{"POST", "?signature=" + testkit.Signer(testKey).SignBody([]byte(call)), call, []string{"/bitrix/api", "/api"}},
		{"OPTIONS", "", "", []string{"/bitrix/rest", "/rest", "/bitrix/pubweb", "/pubweb"}},
		{"POST", "?CHANNEL_ID=" + testkit.Signer(testKey).Sign(pair(t)).String(), "mack:1", []string{"/bitrix/rest", "/rest", "/bitrix/pubweb", "/pubweb"}},
		{"GET", "", "", []string{"/server-stat"}},
		{"POST", "", "x", []string{"/register-client"}},
	} {
		for _, route := range c.routes {
			for rest, want := range map[string]int{"": 200, "/": 200, "/x": 200, "x": 404, "-/": 404} {
				if w := newPublisher(config(t), &fake{}).do(request(c.method, route+rest+c.query, c.body)); w.Code != want {
					t.Errorf("%s %s%s: %d %q, want %d", c.method, route, rest, w.Code, w.Body, want)
				}
			}
		}
	}
}

func pair(t *testing.T) channel.Ref {
	refs, err := channel.Hex.ParseList(idA+":"+idB, 1)
	if err != nil {
		t.Fatal(err)
	}
	return refs[0]
}

// TestAmbiguousPathsAreNotFound: a path that nginx reads as another one is not found, not even from
// an allowed network.
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
