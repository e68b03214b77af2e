package proto

import (
	"fmt"
	"strconv"
)

// maxReplicas is how many replicas a rule may ask for.
const maxReplicas = 16

// ReplicaRules says how many replicas must have a message before its sender is told that it is safe, by its type. It is immutable; the
// zero value waits for none.
type ReplicaRules struct{ rules rules[int] }

// UnmarshalText reads rules like "im_message=1,im_*=0": comma-separated pairs of a message type and a number. A star at the end of a
// type stands for any rest. The first rule that matches counts; what none matches waits for none.
func (r *ReplicaRules) UnmarshalText(text []byte) (err error) {
	r.rules, err = parseRules(string(text), "TYPE=REPLICAS", func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxReplicas {
			return 0, fmt.Errorf("replicas are from 0 to %d", maxReplicas)
		}
		return n, nil
	})
	return err
}

// String gives the rules in the form that UnmarshalText reads.
func (r ReplicaRules) String() string { return r.rules.String() }

// Replicas gives how many replicas a message of type typ waits for.
func (r ReplicaRules) Replicas(typ string) int {
	n, _ := r.rules.find(typ)
	return n
}
