package policy

import (
	"fmt"
	"time"

	"pushgate/internal/proto"
)

// TTLRules say by message type how long messages live. They are immutable. With the zero value
// every message may live for [proto.MaxTTL].
type TTLRules struct{ rules rules[time.Duration] }

// UnmarshalText parses rules like "im_startWriting=2m,online_*=2m,*=24h": comma-separated pairs of
// a message type and the longest life of such messages. A star at the end of a type stands for any
// rest. The first rule that matches counts; a message that none matches lives for [proto.MaxTTL]. A
// life is at least a millisecond and at most proto.MaxTTL.
func (r *TTLRules) UnmarshalText(text []byte) (err error) {
	r.rules, err = parseRules(string(text), "TYPE=DURATION", func(text string) (time.Duration, error) {
		ttl, err := time.ParseDuration(text)
		if err == nil && (ttl < time.Millisecond || ttl > proto.MaxTTL) {
			err = fmt.Errorf("a life must be from 1ms to %v", proto.MaxTTL)
		}
		return ttl, err
	})
	return err
}

// String returns the rules in the form that UnmarshalText reads.
func (r TTLRules) String() string { return r.rules.String() }

// TTL returns the life of a message of type typ: expiry as its sender asked for it, at most what
// the rules allow. An expiry of 0 or less means that the sender did not ask.
func (r TTLRules) TTL(typ string, expiry time.Duration) time.Duration {
	limit, ok := r.rules.find(typ)
	if !ok {
		limit = proto.MaxTTL
	}
	if expiry > 0 {
		return min(expiry, limit)
	}
	return limit
}

// Rule returns the rule that bounds the life of messages of a type, in the form that UnmarshalText
// reads, and the longest life that it allows. If none matches, the rule is empty.
func (r TTLRules) Rule(typ string) (text string, longest time.Duration) {
	if rule, ok := r.rules.first(typ); ok {
		return rule.String(), rule.value
	}
	return "", proto.MaxTTL
}
