package proto

import (
	"fmt"
	"time"
)

// TTLRules says how long messages live by their type. It is immutable; the zero value lets everything live for MaxTTL.
type TTLRules struct{ rules rules[time.Duration] }

// UnmarshalText reads rules like "im_startWriting=2m,online_*=2m,*=24h": comma-separated pairs of a message type and the
// longest life of such messages. A star at the end of a type stands for any rest. The first rule that matches counts; what none
// matches lives for MaxTTL. A life is more than a millisecond and at most MaxTTL.
func (r *TTLRules) UnmarshalText(text []byte) (err error) {
	r.rules, err = parseRules(string(text), "TYPE=DURATION", func(text string) (time.Duration, error) {
		ttl, err := time.ParseDuration(text)
		if err == nil && (ttl < time.Millisecond || ttl > MaxTTL) {
			err = fmt.Errorf("a life is from 1ms to %v", MaxTTL)
		}
		return ttl, err
	})
	return err
}

// String gives the rules in the form that UnmarshalText reads.
func (r TTLRules) String() string { return r.rules.String() }

// TTL gives the life of a message of type typ whose sender asked for expiry; 0 if the sender did not ask.
func (r TTLRules) TTL(typ string, expiry time.Duration) time.Duration {
	limit, ok := r.rules.find(typ)
	if !ok {
		limit = MaxTTL
	}
	if expiry > 0 {
		return min(expiry, limit)
	}
	return limit
}
