package proto

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// frameMarker is the common beginning of both markers of a text record, up to the letter in which
// they differ.
const frameMarker = "#!NGINXNM"

// CheckBody makes a published body safe to be put into a record of any wire form, and returns its
// type.
//
// Bytes that are not UTF-8 become U+FFFD, as in the original server: a text frame with such bytes
// would end the connection of every reader (RFC 6455, 8.1).
//
// A body that is one JSON value is rewritten so that it is on one line and contains no frame
// marker. Its meaning stays the same: line breaks between its tokens become spaces, and U+2028,
// U+2029 and the first character of a marker are escaped. Clients need this: they find records by a
// regular expression whose dot matches no line break. Its type is "module_command", from its
// members module_id and command, if it has both.
//
// Any other body is returned as it is, or refused with ErrFrameMarker if it contains a frame
// marker, because it could forge records. body is not changed; the result may share its memory.
func CheckBody(body []byte) (checked []byte, typ string, err error) {
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	isJSON := json.Valid(body)
	if isJSON {
		typ = typeOf(bytes.Trim(body, space))
	}
	switch {
	case isJSON:
		return oneLine(body), typ, nil
	case bytes.Contains(body, []byte(frameMarker)):
		return nil, "", ErrFrameMarker
	default:
		return body, "", nil
	}
}

// typeOf returns the type of a body that is one JSON value.
func typeOf(text []byte) string {
	if text[0] != '{' {
		return ""
	}
	module, command := memberString(text, "module_id"), memberString(text, "command")
	if module == "" || command == "" {
		return ""
	}
	return MessageType(module + "_" + command)
}

// MessageType removes from s what a message type must not contain, as the portal does. What is left
// are ASCII letters, digits and underscores, at most [MaxType] of them.
func MessageType(s string) string {
	stripped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		default:
			return -1
		}
	}, s)
	return stripped[:min(len(stripped), MaxType)]
}

var (
	lineSeparators = []byte("\xe2\x80") // U+2028 and U+2029 are these bytes and a8 or a9
	oneLiner       = strings.NewReplacer("\r", " ", "\n", " ", "\u2028", `\u2028`, "\u2029", `\u2029`, frameMarker, `\u0023!NGINXNM`)
)

func oneLine(body []byte) []byte {
	if !bytes.ContainsAny(body, "\r\n") && !bytes.Contains(body, lineSeparators) && !bytes.Contains(body, []byte(frameMarker)) {
		return body
	}
	return []byte(oneLiner.Replace(string(body)))
}
