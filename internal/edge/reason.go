package edge

import (
	"maps"
	"slices"

	"github.com/coder/websocket"

	"pushgate/internal/proto"
)

// Reason is why a session ended: the close code of its WebSocket, the label of the metric and the field of the log at once.
// It is an error so that it can be the cause of a context; compare reasons by address.
type Reason struct {
	Label string               // of pushgate_session_ends_total, and in logs
	Code  websocket.StatusCode // 0: the connection is cut without a close frame, for it is gone or stuck
	Text  string               // of the close frame, at most 123 bytes
}

// Error gives the label.
func (r *Reason) Error() string { return r.Label }

// The reasons. A code decides what the client does next: 4010 sends a browser to the portal for a new configuration, so it is
// said only about the client's own ids; 3000 lets every known client come back without asking the portal, 1001 does not.
var (
	ReasonClientClosed = &Reason{Label: "client_closed"}
	ReasonLost         = &Reason{Label: "connection_lost"}
	ReasonPingTimeout  = &Reason{Label: "ping_timeout"}
	ReasonWriteTimeout = &Reason{Label: "write_timeout"}
	ReasonProtocol     = &Reason{Label: "websocket_protocol_error"}
	ReasonTooBig       = &Reason{Label: "message_too_big", Code: websocket.StatusMessageTooBig}
	ReasonWrongChannel = refusalReason("wrong_channel", proto.ErrWrongChannel)
	ReasonTooMany      = refusalReason("too_many_connections", proto.ErrTooManyConnections)
	ReasonLeaving      = &Reason{Label: "leaving", Code: 3000, Text: "The server is leaving."}

	// ReasonRebalanced is for a few of many, while another edge is empty.
	ReasonRebalanced = &Reason{Label: "rebalanced", Code: 3000, Text: "Another server has more room."}

	// ReasonHandedOver ends a session here, and not for its client: the successor of this process has its connection.
	ReasonHandedOver = &Reason{Label: "handed_over"}

	// ReasonTokenExpired lets the client come back without asking the portal: with a token that it has renewed, or to hear 4010.
	ReasonTokenExpired = &Reason{Label: "token_expired", Code: 3000, Text: "The token has expired."}

	// ReasonRemoved is for whoever is connected when an operator takes a portal away.
	ReasonRemoved = &Reason{Label: "portal_removed", Code: 3000, Text: "The portal is not served here."}

	// ReasonCommandFailed is about us, so its code is none of the 40xx: clients come back by themselves, without asking the portal.
	ReasonCommandFailed = &Reason{Label: "command_failed", Code: websocket.StatusTryAgainLater, Text: "The server could not do it now."}

	// ReasonPanic is about us, and cuts the connection: the client comes back by itself.
	ReasonPanic = &Reason{Label: "panic"}

	// Of long polls only.
	ReasonAnswered = &Reason{Label: "poll_answered"}
	ReasonTimeout  = &Reason{Label: "poll_timeout"}
)

// reasonOf gives why a connection ends whose client sent what it must not.
var reasonOf = map[*proto.Error]*Reason{
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

// reasons gives all of them.
func reasons() []*Reason {
	return slices.AppendSeq([]*Reason{
		ReasonClientClosed, ReasonLost, ReasonPingTimeout, ReasonWriteTimeout, ReasonProtocol, ReasonTooBig,
		ReasonWrongChannel, ReasonTooMany, ReasonLeaving, ReasonRebalanced, ReasonHandedOver, ReasonTokenExpired, ReasonRemoved, ReasonCommandFailed, ReasonPanic, ReasonAnswered, ReasonTimeout,
	}, maps.Values(reasonOf))
}
