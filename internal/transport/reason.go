package transport

import (
	"maps"
	"slices"

	"github.com/coder/websocket"

	"pushgate/internal/proto"
)

// Reason is why a session ended: the close code of its WebSocket, the label of the metric and the
// field of the log at once. Compare reasons by address.
type Reason struct {
	Label string               // of pushgate_session_ends_total, and in logs
	Code  websocket.StatusCode // 0: no close frame, because the connection is gone or stuck
	Text  string               // of the close frame, at most 123 bytes
}

// The reasons. A code decides what the client does next: 4010 sends a browser to the portal for a
// new configuration, so it is said only about the client's own ids; 3000 lets every known client
// come back without asking the portal, 1001 does not.
var (
	ReasonClientClosed = &Reason{Label: "client_closed"}
	ReasonLost         = &Reason{Label: "connection_lost"}
	ReasonPingTimeout  = &Reason{Label: "ping_timeout"}
	ReasonWriteTimeout = &Reason{Label: "write_timeout"}
	ReasonProtocol     = &Reason{Label: "websocket_protocol_error"}
	ReasonTooBig       = &Reason{Label: "message_too_big", Code: websocket.StatusMessageTooBig}
	ReasonWrongChannel = refusalReason("wrong_channel", proto.ErrWrongChannel)
	// ReasonRevoked is for clients that were put out: their ids or tokens are as good as wrong.
	ReasonRevoked = refusalReason("revoked", proto.ErrWrongChannel)
	ReasonTooMany = refusalReason("too_many_connections", proto.ErrTooManyConnections)
	ReasonLeaving = &Reason{Label: "leaving", Code: 3000, Text: "The server is leaving."}

	// ReasonRebalanced is for a few connections, while another edge has fewer.
	ReasonRebalanced = &Reason{Label: "rebalanced", Code: 3000, Text: "Another server has more room."}

	// ReasonHandedOver ends a session in this process. Its client does not notice: the successor of
	// this process has the connection.
	ReasonHandedOver = &Reason{Label: "handed_over"}

	// ReasonTokenExpired lets the client come back without asking the portal: with a renewed token,
	// or else to be refused with 4010.
	ReasonTokenExpired = &Reason{Label: "token_expired", Code: 3000, Text: "The token has expired."}

	// ReasonRemoved is for the clients of a portal that an operator removes.
	ReasonRemoved = &Reason{Label: "portal_removed", Code: 3000, Text: "The portal is not served here."}

	// ReasonCommandFailed is a fault of ours, so its code is none of the 40xx: clients come back by
	// themselves, without asking the portal.
	ReasonCommandFailed = &Reason{Label: "command_failed", Code: websocket.StatusTryAgainLater, Text: "The server could not do it now."}

	// ReasonMessageTimeout and ReasonNoRoom end what may be a slow link or an attack. Like
	// ReasonCommandFailed, they send no client to the portal.
	ReasonMessageTimeout = &Reason{Label: "message_timeout", Code: websocket.StatusTryAgainLater, Text: "The message took too long."}
	ReasonNoRoom         = &Reason{Label: "message_no_room", Code: websocket.StatusTryAgainLater, Text: "The server has no room for the message now."}

	// ReasonPanic ends a connection without a close frame after a fault of ours, which is logged.
	ReasonPanic = &Reason{Label: "panic"}

	// Of long polls only.
	ReasonAnswered = &Reason{Label: "poll_answered"}
	ReasonTimeout  = &Reason{Label: "poll_timeout"}
)

// ReasonOf maps a refusal of a client's message to the reason why its connection ends.
var ReasonOf = map[*proto.Error]*Reason{
	proto.ErrNoPublicID:       refusalReason("command_no_public_id", proto.ErrNoPublicID),
	proto.ErrRequestData:      refusalReason("command_bad_data", proto.ErrRequestData),
	proto.ErrNotAllowed:       refusalReason("command_not_allowed", proto.ErrNotAllowed),
	proto.ErrSystemMessage:    refusalReason("command_system_message", proto.ErrSystemMessage),
	proto.ErrTooManyMessages:  refusalReason("command_too_many_messages", proto.ErrTooManyMessages),
	proto.ErrNoChannels:       refusalReason("command_no_channels", proto.ErrNoChannels),
	proto.ErrTooManyChannels:  refusalReason("command_too_many_channels", proto.ErrTooManyChannels),
	proto.ErrPrivateChannel:   refusalReason("command_private_channel", proto.ErrPrivateChannel),
	proto.ErrChannelSignature: refusalReason("command_channel_signature", proto.ErrChannelSignature),
}

func refusalReason(label string, refusal *proto.Error) *Reason {
	return &Reason{Label: label, Code: websocket.StatusCode(refusal.Code), Text: refusal.Text}
}

// reasons returns all of them.
func reasons() []*Reason {
	return slices.AppendSeq([]*Reason{
		ReasonClientClosed, ReasonLost, ReasonPingTimeout, ReasonWriteTimeout, ReasonProtocol, ReasonTooBig,
		ReasonWrongChannel, ReasonRevoked, ReasonTooMany, ReasonLeaving, ReasonRebalanced, ReasonHandedOver, ReasonTokenExpired, ReasonRemoved, ReasonCommandFailed,
		ReasonMessageTimeout, ReasonNoRoom, ReasonPanic, ReasonAnswered, ReasonTimeout,
	}, maps.Values(ReasonOf))
}
