package wire

import (
	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// RPCFrame returns m as the request that version 5 sends to a client of a user, or of 0 if the user
// is not known (docs/protocol.md, JSON-RPC). The request has no id, so that no client answers it.
// The frame is cached on the message, unless m has parameters for this user alone.
func RPCFrame(m *proto.Message, user int64) *Frame {
	if own := m.ParamsOf(user); own != nil {
		return sealRPC(m, own)
	}
	return cached(&encodingsOf(m).rpc, func() *Frame { return sealRPC(m, nil) })
}

func sealRPC(m *proto.Message, own []byte) *Frame {
	return seal(frame.OpText, appendRPC(unsealed(len(m.Body)+len(own)+aroundBody), m, own))
}

// noObject begins the body that replaces one that is not a JSON object. Clients of version 5 put
// the sender into the body. With any other value that fails, and they lose the whole frame.
const noObject = `{"module_id":"","command":"","params":{},"text":`

func appendRPC(b []byte, m *proto.Message, own []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","method":"incoming.message","params":{"mid":"`...)
	b, _ = m.ID.AppendText(b)
	b = append(b, `","body":`...)
	if _, ok := proto.ParseObject(m.Body); ok {
		b = append(b, m.Body...)
	} else {
		b = append(appendValue(append(b, noObject...), m.Body), '}')
	}
	b = appendSenderJSON(append(b, `,"sender":`...), m.Sender)
	if own != nil {
		b = append(append(b, `,"user_params":`...), own...)
	}
	return append(b, "}}"...)
}

// appendSenderJSON appends the sender of a message. Records without a sender are the portal's: they
// are from a time when clients could not send.
func appendSenderJSON(b []byte, s proto.Sender) []byte {
	if s.Type != proto.SenderClient {
		return append(b, `{"type":2}`...)
	}
	b = append(b, `{"type":1`...)
	if !s.ID.IsZero() {
		b = append(append(append(b, `,"id":"`...), s.Name()...), '"')
	}
	return append(b, '}')
}
