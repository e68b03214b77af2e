package store

import (
	"fmt"
	"time"

	"pushgate/internal/proto"
)

// KeyLife is how long the log remembers the key of a message.
const KeyLife = 10 * time.Minute

// duplicate is a message whose key an earlier one of the same batch has.
type duplicate struct{ receipt, first *proto.Receipt }

type duplicates []duplicate

// takeDuplicates removes from a batch all messages but the first of each key: the script finds only
// keys of earlier calls.
func takeDuplicates(batch []*post) (found duplicates) {
	var first map[string]*proto.Receipt
	for _, p := range batch {
		if !p.keyed {
			continue
		}
		if first == nil {
			first = make(map[string]*proto.Receipt)
		}
		p.rewrite(func(i int, m *proto.Message) *proto.Message {
			switch earlier := first[m.Key]; {
			case m.Key == "":
			case earlier != nil:
				found = append(found, duplicate{&p.receipts[i], earlier})
				return nil
			default:
				first[m.Key] = &p.receipts[i]
			}
			return m
		})
	}
	return found
}

// number copies the receipts of the first messages to their duplicates. The former must have been
// set.
func (t duplicates) number() {
	for _, duplicate := range t {
		*duplicate.receipt = *duplicate.first
		duplicate.receipt.Repeated = true
	}
}

// takeRepeated removes from a batch what an earlier call appended. repeated is pairs of a message,
// counted over all that were sent, and its id, in ascending order.
func takeRepeated(batch []*post, repeated []any) error {
	sent := int64(-1)
	var fault error
	for _, p := range batch {
		p.rewrite(func(i int, m *proto.Message) *proto.Message {
			if sent++; len(repeated) < 2 || repeated[0] != sent {
				return m
			}
			text, _ := repeated[1].(string)
			id, err := proto.ParseID(text)
			if err != nil {
				fault = err
			}
			p.receipts[i] = proto.Receipt{ID: id, Repeated: true}
			repeated = repeated[2:]
			return nil
		})
	}
	if fault == nil && len(repeated) > 0 {
		fault = fmt.Errorf("reply names %d repeated messages that were not sent", len(repeated)/2)
	}
	return fault
}

// rewrite replaces each remaining message by what change returns, and encodes the script's
// arguments again. If change returns nil, the message is removed.
func (p *post) rewrite(change func(i int, m *proto.Message) *proto.Message) {
	p.args, p.bytes = p.args[:0], 0
	for i, m := range p.msgs {
		if m == nil {
			continue
		}
		m = change(i, m)
		p.replace(i, m)
		if m != nil {
			p.encode(m)
		}
	}
}
