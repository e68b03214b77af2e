package load

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// maxHead is how long the head of an answer may be.
const maxHead = 64 << 10

var errAnswer = errors.New("an answer that is not HTTP")

// head is the beginning of an HTTP answer. It is valid as long as the bytes that it was read from.
type head struct {
	status int
	fields []byte // the lines behind the first one
	size   int    // of all of it, the empty line included
}

// parseHead reads the head of an answer. Its size is 0 if it is not complete.
func parseHead(b []byte) (h head, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return h, errAnswer
		}
		return h, nil
	}
	line, _, _ := bytes.Cut(b[:end+2], []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.")) || len(line) < len("HTTP/1.1 200") {
		return h, errAnswer
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, errAnswer
	}
	h.fields, h.size = b[len(line)+2:end+2], end+4
	return h, nil
}

// field returns the value of the first field of a name, empty if there is none.
func (h head) field(name string) string {
	for fields := h.fields; len(fields) > 0; {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return string(bytes.TrimSpace(line[len(name)+1:]))
		}
	}
	return ""
}

// keeps reports whether the connection can be used for another request.
func (h head) keeps() bool { return !strings.EqualFold(h.field("Connection"), "close") }

func (h head) chunked() bool { return strings.EqualFold(h.field("Transfer-Encoding"), "chunked") }

// answer is a whole HTTP answer.
type answer struct {
	head
	body []byte
	used int // bytes that it takes
}

// parseAnswer reads an answer to a GET or a POST. Used is 0 if it is not complete.
func parseAnswer(b []byte) (a answer, err error) {
	a.head, err = parseHead(b)
	if err != nil || a.size == 0 {
		return a, err
	}
	rest := b[a.size:]
	switch {
	case a.status == 304 || a.status == 204:
		a.used = a.size
	case a.chunked():
		for at := 0; ; {
			data, used, err := parseChunk(rest[at:])
			if err != nil || used == 0 {
				return a, err
			}
			at += used
			if data == nil {
				a.used = a.size + at
				return a, nil
			}
			a.body = append(a.body, data...)
		}
	default:
		length, err := strconv.Atoi(a.field("Content-Length"))
		if err != nil || length < 0 {
			// An answer that ends with its connection: no server of this kind sends one.
			return a, errAnswer
		}
		if len(rest) >= length {
			a.body, a.used = rest[:length], a.size+length
		}
	}
	return a, nil
}

// parseChunk reads one chunk (RFC 9112, 7.1). The data of the last one is nil. Used is 0 if it is
// not complete.
func parseChunk(b []byte) (data []byte, used int, err error) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return nil, 0, errAnswer
		}
		return nil, 0, nil
	}
	digits, _, _ := bytes.Cut(b[:end], []byte(";"))
	size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
	if err != nil {
		return nil, 0, errAnswer
	}
	total := end + 2 + int(size) + 2
	if len(b) < total {
		return nil, 0, nil
	}
	if !bytes.Equal(b[total-2:total], []byte("\r\n")) {
		return nil, 0, errAnswer
	}
	if size == 0 {
		return nil, total, nil
	}
	return b[end+2 : total-2], total, nil
}
