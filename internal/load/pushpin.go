package load

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Pushpin passes each request to a backend, which says of what channel its sender is to hear; after that, subscribers are sent bare bodies. It keeps
// nothing of what it has sent.

// appendItem appends the body of a post for Pushpin's API: the message, which is ASCII, and to which channel it goes.
func appendItem(b []byte, channel string, body []byte) []byte {
	b = append(append(b, `{"items":[{"channel":"`...), channel...)
	b = append(b, `","formats":{"ws-message":{"content":`...)
	b = strconv.AppendQuote(b, string(body)) // of which JSON has no other idea, within ASCII
	return append(b, "}}}]}"...)
}

// checkPushpin says what Pushpin is not asked for.
func (o *Options) checkPushpin(s scenario) error {
	switch {
	case o.Form != Text:
		return errors.New("pushpin has the form text, which is the bare body")
	case o.Transport == Poll, s.defaults.Missed > 0:
		return errors.New("pushpin keeps nothing for those who are away, be it between two polls")
	case s.manyChannels:
		return fmt.Errorf("the scenario %s has subscribers of several channels, which pushpin is not asked for", s.name)
	}
	for _, u := range o.Sub {
		if !strings.Contains(u, channelPlace) {
			return fmt.Errorf("%s: an address for subscribers of pushpin must have %s where the channel stands", u, channelPlace)
		}
	}
	return nil
}
