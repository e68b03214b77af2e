package edge

import (
	"net/http"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Headers that the known clients look at (docs/protocol.md, Long polling).
const (
	allowOrigin   = "Access-Control-Allow-Origin"
	exposeHeaders = "Access-Control-Expose-Headers"
	lastMessageID = "Last-Message-Id"
	plainText     = "text/plain"
)

// subscription is what a client asks for.
type subscription struct {
	channels []channel.ID
	public   channel.ID // the client's own: the first one of its list; zero if it has none
	cursor   *proto.ID  // the last id that the client saw; nil if it brought none
	codec    *codec
}

// subscribe is the one way in, for both transports. nginx may hand on an Upgrade header without meaning it, so the Connection
// header decides.
func (e *Edge) subscribe(w http.ResponseWriter, r *http.Request) {
	upgrade := hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
	sub, refusal := e.parse(r)
	switch {
	case refusal != nil && upgrade:
		e.refuseWebSocket(w, r)
	case refusal != nil:
		e.refusePoll(w, refusal)
	case upgrade:
		e.serveWebSocket(w, r, sub)
	default:
		e.servePoll(w, r, sub)
	}
}

// parse reads and checks the query. What it refuses is the client's own fault, always.
func (e *Edge) parse(r *http.Request) (sub subscription, refusal *proto.Error) {
	query := r.URL.Query()
	refs, err := e.config.Grammar.ParseList(query.Get("CHANNEL_ID"), maxChannels)
	if err != nil {
		return sub, e.refusal(err)
	}
	for _, ref := range refs {
		if !e.config.Signer.Verify(ref) {
			return sub, e.refusal(channel.ErrSignature)
		}
	}
	sub.channels = channel.IDs(refs)
	for _, ref := range refs {
		if sub.public = ref.Public; !sub.public.IsZero() {
			break
		}
	}
	sub.codec = textCodec
	if query.Get("binaryMode") == "true" {
		sub.codec = binaryCodec
	}
	if id, err := proto.ParseID(query.Get("mid")); err == nil {
		sub.cursor = &id
	}
	return sub, nil
}

// refusal gives the words of the generation whose ids are served.
func (e *Edge) refusal(err error) *proto.Error {
	switch {
	case e.config.Grammar == channel.Hex:
		return proto.ErrWrongChannel
	case err == channel.ErrNoID:
		return proto.ErrNoChannelID
	default:
		return proto.ErrChannelID
	}
}

func (e *Edge) refusePoll(w http.ResponseWriter, refusal *proto.Error) {
	e.metrics.refused.Inc()
	refuse(w, refusal)
}

// refuse answers a poll with a text of the protocol.
func refuse(w http.ResponseWriter, refusal *proto.Error) {
	h := w.Header()
	h.Set("Content-Type", plainText)
	h.Set(allowOrigin, "*")
	h.Set(exposeHeaders, lastMessageID)
	w.WriteHeader(refusal.Status())
	w.Write([]byte(refusal.Text))
}

// preflight answers OPTIONS as the original does. Browsers never ask: the known clients send nothing that needs it.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", plainText)
	h.Set(allowOrigin, "*")
	h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "If-Modified-Since, If-None-Match")
}

func notFound(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", plainText)
	h.Set(allowOrigin, "*")
	w.WriteHeader(http.StatusNotFound)
}

// hasToken reports whether one of the comma-separated values is token, in any case of letters (RFC 9110, 5.6.1).
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
