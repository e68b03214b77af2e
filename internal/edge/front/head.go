package front

import (
	"bufio"
	"bytes"
	"net/http"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// endOfHead returns the length of the request head that b begins with, with its empty line, or 0 if
// the end has not come. The first scanned bytes are known to hold no end. A line may end without a
// carriage return (RFC 9112, 2.2).
func endOfHead(b []byte, scanned int) int {
	for at := max(0, scanned-2); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

// parser is the memory that [parse] needs. It is pooled.
type parser struct {
	bytes    bytes.Reader
	buffered *bufio.Reader
}

var parsers = sync.Pool{New: func() any {
	p := new(parser)
	p.buffered = bufio.NewReaderSize(&p.bytes, 4<<10)
	return p
}}

// parse reads a whole request head. It returns nil and a status if the head is refused: because
// net/http would not serve it, or because it has a body or an expectation, which nothing here uses.
func parse(head []byte) (*http.Request, int) {
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	p.bytes.Reset(head)
	p.buffered.Reset(&p.bytes)
	r, err := http.ReadRequest(p.buffered)
	p.bytes.Reset(nil)
	switch {
	case err != nil:
		return nil, http.StatusBadRequest
	case r.ProtoMajor != 1 || r.ProtoMinor > 1:
		return nil, http.StatusHTTPVersionNotSupported
	case r.URL.Host != "", // a whole address: what it names and what Host names may differ
		r.ProtoAtLeast(1, 1) && r.Host == "", !httpguts.ValidHostHeader(r.Host), !validFields(r.Header):
		return nil, http.StatusBadRequest
	case r.Header["Expect"] != nil:
		return nil, http.StatusExpectationFailed
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		if r.Method != http.MethodGet {
			return nil, http.StatusNotFound // no path here accepts a POST
		}
		return nil, http.StatusBadRequest
	}
	return r, 0
}

// validFields reports whether all header fields are as RFC 9110, 5.1 and 5.5 demand.
func validFields(header http.Header) bool {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

// keeps reports whether a request lets its connection be kept.
func keeps(r *http.Request) bool { return r.ProtoAtLeast(1, 1) && !r.Close }
