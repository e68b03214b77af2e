package edge

import (
	"net/http"
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
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
	portal   *serving
	channels []channel.ID
	public   channel.ID // the client's own: the first one of its list, or a guest's; zero if it has none
	cursor   *proto.ID  // the last id that the client saw; nil if it brought none
	codec    *codec
	client   uint64 // whose replays are paced as one; 0 if they are not

	user    int64     // whose token it brought; 0 if it is nobody in particular
	expires time.Time // when its token does; zero if it brought none
}

// owner gives the id by which the connections of one person are counted; zero if that is not known.
func (s *subscription) owner() channel.ID {
	if s.user != 0 {
		return channel.ForUser(s.user)
	}
	return s.public
}

// over says why a connection of t must end, whatever it does; nil if it need not.
func (t *tenant) over(sub *subscription, now time.Time) *Reason {
	switch {
	case t.removed.Load():
		return ReasonRemoved
	case !sub.expires.IsZero() && now.After(sub.expires):
		return ReasonTokenExpired
	default:
		return nil
	}
}

// subscribe is the one way in, for both transports. nginx may hand on an Upgrade header without meaning it, so the Connection
// header decides.
func (e *Edge) subscribe(w http.ResponseWriter, r *http.Request) {
	upgrade := hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
	sub, refusal := e.parse(r)
	switch {
	case refusal == proto.ErrWrongClientID && upgrade:
		e.refuseUpgrade(w, refusal)
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
	if sub.portal = e.portals.Load().find(query.Get("clientId")); sub.portal == nil {
		return sub, proto.ErrWrongClientID
	}
	switch {
	case query.Get("jsonRpc") == "true":
		sub.codec = rpcCodec
	case query.Get("binaryMode") == "true":
		sub.codec = binaryCodec
	case query.Get("format") == "json":
		sub.codec = jsonCodec
	default:
		sub.codec = textCodec
	}
	if id, err := proto.ParseID(query.Get("mid")); err == nil {
		sub.cursor = &id
	}
	if token := query.Get("token"); token != "" {
		refusal = e.parseToken(&sub, token)
	} else {
		refusal = e.parseList(&sub, query.Get("CHANNEL_ID"))
	}
	if refusal == nil {
		sub.client = e.replays.client(sub.portal.Name(), clientAddress(r), sub.channels)
	}
	return sub, refusal
}

// attach returns a session for a subscription; its replay is paced.
func (t *tenant) attach(sub *subscription, wake func()) *hub.Session {
	session := t.hub.Attach(sub.channels, sub.cursor, wake)
	if sub.client != 0 && sub.cursor != nil {
		session.Meter(replayMeter{t.edge, sub.client})
	}
	return session
}

// parseToken reads who the client is and what it may watch from a token of version 5.
func (e *Edge) parseToken(sub *subscription, text string) *proto.Error {
	token, err := sub.portal.Signer.ParseToken(text, sub.portal.HostID, time.Now())
	if err != nil {
		return proto.ErrWrongChannel
	}
	sub.user, sub.expires, sub.channels = token.User, token.Expires, token.Channels
	switch id := channel.ForUser(token.User); {
	case !id.IsZero():
		sub.channels = append([]channel.ID{id}, sub.channels...)
	case len(token.Channels) == 2: // a guest's: the private id and its public twin
		sub.public = token.Channels[1]
	}
	return nil
}

// parseList reads a list of signed ids.
func (e *Edge) parseList(sub *subscription, list string) *proto.Error {
	refs, err := e.config.Grammar.ParseList(list, maxChannels)
	if err != nil {
		return e.refusal(err)
	}
	for _, ref := range refs {
		if !sub.portal.Signer.Verify(ref) {
			return e.refusal(channel.ErrSignature)
		}
	}
	sub.channels = channel.IDs(refs)
	for _, ref := range refs {
		if sub.public = ref.Public; !sub.public.IsZero() {
			break
		}
	}
	return nil
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
