package publisher

import (
	"errors"
	"net/http"

	"pushgate/internal/intake"
	"pushgate/internal/proto"
)

// refusal is a reason not to serve a request: the answer, and the label of its counter.
type refusal struct {
	label  string
	status int
	text   string
	closes bool // close the connection, on which more of the body may be under way
}

// The refusals.
var (
	forbidden = &refusal{"forbidden", http.StatusForbidden, "", true}
	// A page's request, unsigned.
	crossSite       = &refusal{"cross_site", http.StatusForbidden, proto.ErrRequestSignature.Text, true}
	unknownHost     = &refusal{"unknown_host", http.StatusForbidden, "", true}
	tooLarge        = &refusal{"too_large", http.StatusRequestEntityTooLarge, "", true}
	tooManyUnproven = &refusal{"unproven", http.StatusTooManyRequests, "", true}
	slowUpload      = &refusal{"slow_upload", http.StatusRequestTimeout, "", true}
	brokenUpload    = &refusal{"broken_upload", http.StatusBadRequest, "", true}
	noChannelID     = &refusal{"channel", http.StatusBadRequest, proto.ErrNoChannelID.Text, false}
	badChannelID    = &refusal{"channel", http.StatusBadRequest, proto.ErrChannelID.Text, false}
	noChannels      = &refusal{"channel", http.StatusBadRequest, proto.ErrNoChannels.Text, false}
	tooMany         = &refusal{"channel", http.StatusBadRequest, proto.ErrTooManyChannels.Text, false}
	emptyPost       = &refusal{"empty", http.StatusBadRequest, proto.ErrEmptyPost.Text, false}
	frameMarker     = &refusal{"frame_marker", http.StatusBadRequest, proto.ErrFrameMarker.Text, false}
	closed          = &refusal{"closed", http.StatusForbidden, proto.ErrChannelsClosed.Text, false}
	revoked         = ofBatch("revoked", proto.ErrWrongChannel) // a client that was put out
	staleForbidden  = &refusal{"signature_time", http.StatusForbidden, "", true}
	staleRequest    = &refusal{"signature_time", http.StatusBadRequest, proto.ErrRequestSignature.Text, false}
	wrongHost       = &refusal{"host", http.StatusBadRequest, proto.ErrNoClientID.Text, true}
	// Answered as JSON-RPC.
	badCall = &refusal{"call", http.StatusOK, "", false}
	// Answered as a registration.
	notRegistered = &refusal{"registration", http.StatusOK, "", false}
	busy          = &refusal{"busy", http.StatusTooManyRequests, "", false}
	unavailable   = &refusal{"unavailable", http.StatusServiceUnavailable, "", false}
)

// refusalOf maps the errors of an executor to the refusals of a batch.
var refusalOf = map[*proto.Error]*refusal{
	proto.ErrNoPublicID:       ofBatch("no_public_id", proto.ErrNoPublicID),
	proto.ErrRequestData:      ofBatch("bad_data", proto.ErrRequestData),
	proto.ErrNotAllowed:       ofBatch("not_allowed", proto.ErrNotAllowed),
	proto.ErrSystemMessage:    ofBatch("system_message", proto.ErrSystemMessage),
	proto.ErrWrongCommand:     ofBatch("wrong_command", proto.ErrWrongCommand),
	proto.ErrTooManyMessages:  ofBatch("too_many_messages", proto.ErrTooManyMessages),
	proto.ErrNoChannels:       noChannels,
	proto.ErrTooManyChannels:  tooMany,
	proto.ErrInvalidChannel:   ofBatch("invalid_channel", proto.ErrInvalidChannel),
	proto.ErrPrivateChannel:   ofBatch("private_channel", proto.ErrPrivateChannel),
	proto.ErrChannelSignature: ofBatch("channel_signature", proto.ErrChannelSignature),
	proto.ErrRequestSignature: ofBatch("request_signature", proto.ErrRequestSignature),
	proto.ErrNoClientID:       ofBatch("client_id", proto.ErrNoClientID),
	proto.ErrFrameMarker:      frameMarker,
	proto.ErrChannelsClosed:   closed,
}

func ofBatch(label string, err *proto.Error) *refusal {
	return &refusal{label, err.Status(), err.Text, false}
}

// stale returns the refusal with the same answer as r that is counted under the time of a
// signature.
func (r *refusal) stale() *refusal {
	if r == forbidden {
		return staleForbidden
	}
	return staleRequest
}

// failure returns the refusal of a post that the log did not append.
func failure(err error) *refusal {
	if errors.Is(err, intake.ErrBusy) {
		return busy
	}
	return unavailable
}

// refuse answers with the refusal no and counts it. It is a 400 only if the portal is at fault.
func (p *Publisher) refuse(w http.ResponseWriter, no *refusal) {
	p.metrics.refused[no].Inc()
	h := w.Header()
	switch {
	case no == unavailable, no == busy, no == tooManyUnproven:
		h.Set("Retry-After", "1")
	case no == tooLarge:
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if no.closes {
		h.Set("Connection", "close")
	}
	answer(w, no.status, no.text)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	answer(w, http.StatusNotFound, "")
}
