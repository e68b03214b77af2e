package policy

import (
	"fmt"
	"strconv"
)

// maxReplicas is the largest number of replicas in a rule.
const maxReplicas = 16

// ReplicaRules say by message type how many replicas must have a message before its sender gets the
// acknowledgement. They are immutable. With the zero value no message waits for a replica.
type ReplicaRules struct{ rules rules[int] }

// UnmarshalText parses rules like "im_message=1,im_*=0": comma-separated pairs of a message type
// and a number from 0 to 16. A star at the end of a type stands for any rest. The first rule that
// matches counts; a message that none matches waits for no replica.
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
