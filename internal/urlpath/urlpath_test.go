package urlpath_test

import (
	"net/url"
	"testing"

	"pushgate/internal/urlpath"
)

func TestAmbiguous(t *testing.T) {
	for path, want := range map[string]bool{
		"":                       false,
		"*":                      false,
		"/":                      false,
		"/bitrix/pub":            false,
		"/bitrix/pub/":           false,
		"/bitrix/pub/more/of/it": false,
		"/bitrix/pub/a.b":        false,
		"/bitrix/pub/..a":        false,
		"/bitrix/pub/a..":        false,
		"/bitrix/pub/...":        false,
		"/bitrix/pub/.a":         false,
		"/bitrix/%70ub/":         false,
		"/bitrix/pub/%D0%B6":     false,
		"/bitrix/pub/ж":          false,

		"/bitrix/pub/..":            true,
		"/bitrix/pub/.":             true,
		"/bitrix/pub/../rest/":      true,
		"/bitrix/./pub/":            true,
		"/../":                      true,
		"..":                        true,
		"/bitrix/pub/%2e%2e/rest/":  true,
		"/bitrix/pub/%2E%2E/rest/":  true,
		"/bitrix/pub/.%2e/rest/":    true,
		"/bitrix/pub/%2e./rest/":    true,
		"/bitrix/pub/%2e/":          true,
		"/bitrix/pub/..%2frest/":    true,
		"/bitrix/pub/..%2Frest/":    true,
		"/bitrix/pub%2f..%2frest/":  true,
		"/bitrix/pub/..%5crest/":    true,
		"/bitrix/pub/..%5Crest/":    true,
		`/bitrix/pub/..\rest/`:      true,
		"/bitrix/pub/%252e%252e/":   true,
		"/bitrix/pub/..%23/":        true,
		"/bitrix//pub/":             true,
		"//bitrix/pub/":             true,
		"/bitrix/pub//":             true,
		"/bitrix/pub/%D0%B6/%2e%2e": true,
	} {
		u, err := url.ParseRequestURI("http://x" + path)
		if path == "*" || path == ".." {
			u, err = &url.URL{Path: path}, nil
		}
		if err != nil {
			t.Fatal(path, err)
		}
		if got := urlpath.Ambiguous(u); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for path, want := range map[string]bool{
		"/bitrix/pub": true, "/bitrix/pub/": true, "/bitrix/pub/x": true,
		"/bitrix/pubweb": false, "/bitrix/pubweb/": false, "/bitrix/pu": false, "/pub": false, "": false, "/": false,
	} {
		if got := urlpath.Within(path, "/bitrix/pub"); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

func BenchmarkAmbiguous(b *testing.B) {
	u := &url.URL{Path: "/bitrix/pub/"}
	b.ReportAllocs()
	for b.Loop() {
		if urlpath.Ambiguous(u) {
			b.Fatal()
		}
	}
}
