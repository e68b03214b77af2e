// Package policy holds rules by message type: how long messages live, and how many replicas must
// have them.
package policy

import (
	"fmt"
	"strings"
)

// rules are values by message type. They are immutable.
type rules[T any] []rule[T]

type rule[T any] struct {
	pattern string // without the star
	prefix  bool   // it had one
	value   T
	text    string // value as it was written
}

// parseRules reads comma-separated pairs of a message type and a value. A star at the end of a type
// stands for any rest. The form of a pair, such as TYPE=DURATION, is for errors.
func parseRules[T any](text, form string, parse func(text string) (T, error)) (rules[T], error) {
	var all rules[T]
	for pair := range strings.SplitSeq(text, ",") {
		pattern, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || pattern == "" {
			return nil, fmt.Errorf("%q is not %s", pair, form)
		}
		v, err := parse(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pair, err)
		}
		r := rule[T]{value: v, text: value}
		r.pattern, r.prefix = strings.CutSuffix(pattern, "*")
		if strings.Contains(r.pattern, "*") {
			return nil, fmt.Errorf("%q: a star is allowed only at the end of a type", pair)
		}
		all = append(all, r)
	}
	return all, nil
}

// find returns the value of the first rule that matches.
func (all rules[T]) find(typ string) (value T, ok bool) {
	r, ok := all.first(typ)
	return r.value, ok
}

// first returns the first rule that matches.
func (all rules[T]) first(typ string) (found rule[T], ok bool) {
	for _, r := range all {
		if typ == r.pattern || r.prefix && strings.HasPrefix(typ, r.pattern) {
			return r, true
		}
	}
	return found, false
}

// String returns a rule in the form that parseRules reads.
func (r rule[T]) String() string {
	if r.prefix {
		r.pattern += "*"
	}
	return r.pattern + "=" + r.text
}

// String returns the rules in the form that parseRules reads.
func (all rules[T]) String() string {
	pairs := make([]string, len(all))
	for i, r := range all {
		pairs[i] = r.String()
	}
	return strings.Join(pairs, ",")
}
