package publisher

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// query holds the parameters of a portal's request.
type query struct {
	channels  string // CHANNEL_ID, decoded
	signature string
	time      string // timestamp
	client    string // clientId
	host      string // hostId
	binary    bool   // binaryMode is true, in these letters
}

// parseQuery reads the known parameters, the first value of each, and ignores the rest. It is more
// lenient than [url.ParseQuery], as the originals are: a semicolon is an ordinary character, and an
// invalid escape is kept as it is.
func parseQuery(raw string) (q query) {
	var mode string
	parameters := [...]struct {
		name  string
		value *string
		seen  bool
	}{
		{name: "CHANNEL_ID", value: &q.channels},
		{name: "binaryMode", value: &mode},
		{name: "signature", value: &q.signature},
		{name: "clientId", value: &q.client},
		{name: "timestamp", value: &q.time},
		{name: "hostId", value: &q.host},
	}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		for i := range parameters {
			if p := &parameters[i]; p.name == name && !p.seen {
				*p.value, p.seen = unescape(value), true
			}
		}
	}
	q.binary = mode == "true"
	return q
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// firstRead is the most memory, in bytes, that an announced body gets before any of it has come.
const firstRead = 64 << 10

// readBody reads the whole body of a request, at most limit bytes, into memory that is reserved
// from hold, if any. The body is never parsed as a form, whatever the Content-Type says: the
// portal's HTTP client claims that every post is one.
func readBody(r *http.Request, limit int64, hold *reservation) ([]byte, *refusal) {
	size := r.ContentLength
	if size > limit {
		return nil, tooLarge
	}
	if size < 0 {
		size = min(limit, 4<<10)
	}
	first := min(size, firstRead)
	if hold != nil {
		first = min(first, firstUnproven)
	}
	first++ // so that a body of the announced size ends without growing
	if !hold.grow(first) {
		return nil, tooManyUnproven
	}
	body := make([]byte, 0, first)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, tooLarge
		case err == io.EOF:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, slowUpload
		case err != nil:
			return nil, brokenUpload
		}
		if len(body) == cap(body) {
			next := min(2*int64(cap(body)), limit+1)
			if !hold.grow(next) {
				return nil, tooManyUnproven
			}
			body = append(make([]byte, 0, next), body...)
		}
	}
}

// plainText is the Content-Type of all text answers, which share the slice.
var plainText = []string{"text/plain"}

// octets is the Content-Type of batches.
var octets = []string{"application/octet-stream"}

func answer(w http.ResponseWriter, status int, text string) { answerAs(w, plainText, status, text) }

func answerAs(w http.ResponseWriter, contentType []string, status int, text string) {
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	if text != "" {
		_, _ = io.WriteString(w, text) // an error means that the client has hung up
	}
}
