package load

import "slices"

// stream is a sequence of messages that one publisher sends to the same channels, one at a time, so
// that their order is known.
type stream struct {
	number   uint32
	channels string // as the publisher names them
	watchers int    // subscribers that must get all of it
	posted   uint32 // the place of the last message that was sent
	accepted int
	// Places of messages that were not accepted: subscribers may get them, and need not.
	refused []uint32
	by      *publisher
}

// verdict is what a ledger finds about a message.
type verdict int

const (
	fresh   verdict = iota
	late            // it came after messages that follow it
	doubled         // it has already come
	stray           // the subscriber does not watch its stream, or it was never sent
)

// span is a range of places in a stream, without its end.
type span struct{ from, to uint32 }

// cursor is how far a subscriber has got in a stream.
type cursor struct {
	stream  *stream
	last    uint32 // the highest place that has come
	missing []span // below it, in order
}

// take records that a message has come.
func (c *cursor) take(place uint32) verdict {
	switch {
	case place == 0 || place > c.stream.posted:
		return stray
	case place == c.last+1:
		c.last = place
		return fresh
	case place > c.last:
		c.missing = append(c.missing, span{c.last + 1, place})
		c.last = place
		return fresh
	}
	for i, s := range c.missing {
		if place < s.from || s.to <= place {
			continue
		}
		c.missing = slices.Replace(c.missing, i, i+1, slices.DeleteFunc([]span{{s.from, place}, {place + 1, s.to}},
			func(s span) bool { return s.from == s.to })...)
		return late
	}
	return doubled
}

// lost returns how many accepted messages have not come.
func (c *cursor) lost() int {
	lost := int(c.stream.posted - c.last)
	for _, s := range c.missing {
		lost += int(s.to - s.from)
	}
	for _, place := range c.stream.refused {
		if place > c.last || slices.ContainsFunc(c.missing, func(s span) bool { return s.from <= place && place < s.to }) {
			lost--
		}
	}
	return lost
}
