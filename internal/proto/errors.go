package proto

// Error is a refusal in the protocol's own words: what a client or a portal is told, and nothing else.
type Error struct {
	Code int    // of the 40xx table: also the close code of a WebSocket; 0 for the texts of the first generation
	Text string // the whole text: body of the answer, or reason of the close
}

// Error gives the text.
func (e *Error) Error() string { return e.Text }

// HTTP statuses, by number: this package knows the words of the protocol, and not how they travel.
const (
	statusBadRequest      = 400
	statusTooManyRequests = 429
)

// Status gives the HTTP status of e: 429 for too many connections, else 400.
func (e *Error) Status() int {
	if e == ErrTooManyConnections {
		return statusTooManyRequests
	}
	return statusBadRequest
}

// The refusals (docs/protocol.md, Errors).
var (
	ErrWrongChannel       = &Error{4010, "4010: Wrong Channel Id."}
	ErrNoChannels         = &Error{4017, "4017: No channels found."}
	ErrTooManyChannels    = &Error{4018, "4018: Request exceeded the maximum number of channels."}
	ErrTooManyConnections = &Error{4029, "4029: Too many connections"}

	ErrNoChannelID    = &Error{0, "No channel id provided."}
	ErrChannelID      = &Error{0, "Channel id is not correct."}
	ErrEmptyPost      = &Error{0, "Empty post requests are not allowed."}
	ErrFrameMarker    = &Error{0, "A body that is not JSON must not contain a frame marker."}
	ErrChannelsClosed = &Error{0, "Channel is closed for writing."}
)
