package store

import (
	"fmt"
	"time"

	"pushgate/internal/proto"
)

// KeyLife is how long the log knows the key of a message that it has taken.
const KeyLife = 10 * time.Minute

// twin is a message whose key an earlier one of the same batch has.
type twin struct{ receipt, first *proto.Receipt }

type twins []twin

// takeTwins takes off a batch all messages but the first of each key: the script looks for keys of earlier calls only.
func takeTwins(batch []*post) (found twins) {
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
				found = append(found, twin{&p.receipts[i], earlier})
				return nil
			default:
				first[m.Key] = &p.receipts[i]
			}
			return m
		})
	}
	return found
}

// number gives twins the receipts of the first ones, once those have them.
func (t twins) number() {
	for _, twin := range t {
		*twin.receipt = *twin.first
		twin.receipt.Repeated = true
	}
}

// takeRepeated takes off a batch what was appended by an earlier call. repeated is pairs of message, counted over all that were sent, and
// the id that it has, in rising order.
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
		fault = fmt.Errorf("%d repeated messages that were not sent", len(repeated)/2)
	}
	return fault
}

// rewrite puts what change gives in the place of each message that is left, and encodes anew what the script takes of p. Nil takes the
// message off.
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
