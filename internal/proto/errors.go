package proto

// Error is a refusal as the protocol words it: what a client or a portal receives, and nothing
// else. Compare refusals by address.
type Error struct {
	// The number in the 40xx table, which is also the close code of a WebSocket. It is 0 for the
	// texts of the first generation.
	Code int
	Text string // the whole text: body of the answer, or reason of the close
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// HTTP statuses, by number, because this package does not depend on net/http.
const (
	statusBadRequest      = 400
	statusTooManyRequests = 429
)

// Status returns the HTTP status of e: 429 for too many connections, else 400.
func (e *Error) Status() int {
	if e == ErrTooManyConnections {
		return statusTooManyRequests
	}
	return statusBadRequest
}

// The refusals that have a code (docs/protocol.md, Errors). This is the whole table of the
// original server, except what is about administration.
var (
	ErrWrongChannel       = &Error{4010, "4010: Wrong Channel Id."}
	ErrLastMessages       = &Error{4011, "4011: Couldn't get last messages."}
	ErrNoPublicID         = &Error{4012, "4012: Public Channel Id is Required."}
	ErrRequestData        = &Error{4013, "4013: Wrong Request Data."}
	ErrNotAllowed         = &Error{4014, "4014: Request command is not allowed."}
	ErrWrongCommand       = &Error{4015, "4015: Wrong Request Command."}
	ErrTooManyMessages    = &Error{4016, "4016: Request exceeded the maximum number of messages."}
	ErrNoChannels         = &Error{4017, "4017: No channels found."}
	ErrTooManyChannels    = &Error{4018, "4018: Request exceeded the maximum number of channels."}
	ErrInvalidChannel     = &Error{4019, "4019: Request has an invalid channel id."}
	ErrPrivateChannel     = &Error{4020, "4020: Private channel is not allowed."}
	ErrChannelSignature   = &Error{4021, "4021: Channel has an invalid signature."}
	ErrEmptyRequest       = &Error{4022, "4022: Empty request."}
	ErrNoVerification     = &Error{4024, "4024: A verification query is required."}
	ErrNoClientID         = &Error{4025, "4025: Client Id is required."}
	ErrRequestSignature   = &Error{4026, "4026: Wrong request signature."}
	ErrTooManyConnections = &Error{4029, "4029: Too many connections"}
	ErrChannelStats       = &Error{4030, "4030: Wrong ChannelStats Request."}
	ErrServerStats        = &Error{4031, "4031: Wrong ServerStats Request."}
	ErrBadJSON            = &Error{4032, "4032: Bad JSON request."}
	ErrNoMethod           = &Error{4033, "4033: JSON object doesn't have 'method' property."}
	ErrNoParams           = &Error{4034, "4034: JSON object doesn't have 'params' property."}
	ErrUnknownCommand     = &Error{4035, "4035: Unknown command."}
	ErrWrongClientID      = &Error{4036, "4036: Wrong Client Id."}

	// ErrSystemMessage says that a client tried to send what only the portal may send. Clients
	// cannot tell it from ErrNotAllowed; it is a separate value so that it is counted separately.
	ErrSystemMessage = &Error{4014, "4014: Request command is not allowed."}
)

// The refusals with the texts of the first generation.
var (
	ErrNoChannelID    = &Error{0, "No channel id provided."}
	ErrChannelID      = &Error{0, "Channel id is not correct."}
	ErrEmptyPost      = &Error{0, "Empty post requests are not allowed."}
	ErrFrameMarker    = &Error{0, "A body that is not JSON must not contain a frame marker."}
	ErrChannelsClosed = &Error{0, "Channel is closed for writing."}
)
