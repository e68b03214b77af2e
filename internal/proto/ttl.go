package proto

import (
	"fmt"
	"strings"
	"time"
)

// TTLRules says how long messages live by their type. It is immutable; the zero value lets everything live for MaxTTL.
type TTLRules struct {
	rules []ttlRule
}

type ttlRule struct {
	pattern string // without the star
	prefix  bool   // it had one
	ttl     time.Duration
	text    string // ttl as it was written
}

// UnmarshalText reads rules like "im_startWriting=2m,online_*=2m,*=24h": comma-separated pairs of a message type and the
// longest life of such messages. A star at the end of a type stands for any rest. The first rule that matches counts; what none
// matches lives for MaxTTL. A life is more than a millisecond and at most MaxTTL.
func (r *TTLRules) UnmarshalText(text []byte) error {
	r.rules = nil
	for pair := range strings.SplitSeq(string(text), ",") {
		pattern, life, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || pattern == "" {
			return fmt.Errorf("%q is not TYPE=DURATION", pair)
		}
		ttl, err := time.ParseDuration(life)
		if err != nil {
			return fmt.Errorf("%q: %w", pair, err)
		}
		if ttl < time.Millisecond || ttl > MaxTTL {
			return fmt.Errorf("%q: a life is from 1ms to %v", pair, MaxTTL)
		}
		rule := ttlRule{ttl: ttl, text: life}
		rule.pattern, rule.prefix = strings.CutSuffix(pattern, "*")
		if strings.Contains(rule.pattern, "*") {
			return fmt.Errorf("%q: a star stands at the end of a type only", pair)
		}
		r.rules = append(r.rules, rule)
	}
	return nil
}

// String gives the rules in the form that UnmarshalText reads.
func (r TTLRules) String() string {
	pairs := make([]string, len(r.rules))
	for i, rule := range r.rules {
		if rule.prefix {
			rule.pattern += "*"
		}
		pairs[i] = rule.pattern + "=" + rule.text
	}
	return strings.Join(pairs, ",")
}

// TTL gives the life of a message of type typ whose sender asked for expiry; 0 if the sender did not ask.
func (r TTLRules) TTL(typ string, expiry time.Duration) time.Duration {
	limit := MaxTTL
	for _, rule := range r.rules {
		if typ == rule.pattern || rule.prefix && strings.HasPrefix(typ, rule.pattern) {
			limit = rule.ttl
			break
		}
	}
	if expiry > 0 {
		return min(expiry, limit)
	}
	return limit
}
