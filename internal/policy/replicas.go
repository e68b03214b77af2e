package policy

import (
	"fmt"
	"strconv"
)

// maxReplicas is how many replicas a rule may ask for.
const maxReplicas = 16

// ReplicaRules is how many replicas must have a message before its sender gets the acknowledgement,
// by its type. It is immutable; the zero value waits for none.
type ReplicaRules struct{ rules rules[int] }

// UnmarshalText reads rules like "im_message=1,im_*=0": comma-separated pairs of a message type and a
// number from 0 to 16. A star at the end of a type stands for any rest. The first rule that matches
// counts; a message that none matches waits for no replica.
func (r *ReplicaRules) UnmarshalText(text []byte) (err error) {
	r.rules, err = parseRules(string(text), "TYPE=REPLICAS", func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxReplicas {
			return 0, fmt.Errorf("replicas must be from 0 to %d", maxReplicas)
		}
		return n, nil
	})
	return err
}

// String returns the rules in the form that UnmarshalText reads.
func (r ReplicaRules) String() string { return r.rules.String() }

// Replicas returns how many replicas a message of type typ waits for.
func (r ReplicaRules) Replicas(typ string) int {
	n, _ := r.rules.find(typ)
	return n
}
