package edge

import (
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
	ReasonWrongChannel = &Reason{Label: "wrong_channel", Code: websocket.StatusCode(proto.ErrWrongChannel.Code), Text: proto.ErrWrongChannel.Text}
	ReasonLeaving      = &Reason{Label: "leaving", Code: 3000, Text: "The server is leaving."}

	// Of long polls only.
	ReasonAnswered = &Reason{Label: "poll_answered"}
	ReasonTimeout  = &Reason{Label: "poll_timeout"}
)

var reasons = []*Reason{
	ReasonClientClosed, ReasonLost, ReasonPingTimeout, ReasonWriteTimeout, ReasonProtocol, ReasonTooBig,
	ReasonWrongChannel, ReasonLeaving, ReasonAnswered, ReasonTimeout,
}
