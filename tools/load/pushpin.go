package load

import "strconv"

// Pushpin passes each request to a backend, which names the channel to subscribe its sender to;
// after that, subscribers are sent bare bodies. It keeps nothing of what it has sent.

// appendItem appends the body of a post for Pushpin's API: the message, which is ASCII, and to
// which channel it goes.
func appendItem(b []byte, channel string, body []byte) []byte {
	b = append(append(b, `{"items":[{"channel":"`...), channel...)
	b = append(b, `","formats":{"ws-message":{"content":`...)
	b = strconv.AppendQuote(b, string(body)) // of which JSON has no other idea, within ASCII
	return append(b, "}}}]}"...)
}
