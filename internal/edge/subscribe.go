package edge

import (
	"errors"
	"maps"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/sign"
	"pushgate/internal/trail"
	"pushgate/internal/transport"
	"pushgate/internal/wire"
)

// subscription is what a client asks for.
type subscription struct {
	portal *serving
	reader wire.Reader
	public channel.ID // the client's own: the first of its list, or a guest's; may be zero
	cursor *proto.ID  // the last id that the client saw; nil if it brought none

	revision bool   // it named the revision of the protocol, as web clients do
	client   uint64 // whose replays are paced as one; 0 if they are not

	expires time.Time   // when its token does; zero if it brought none
	token   revoke.Hash // of its token; zero if it brought none
}

// user returns the id by which the connections of one person are counted; zero if that is not
// known.
func (s *subscription) user() channel.ID {
	if s.reader.User != 0 {
		return channel.ForUser(s.reader.User)
	}
	return s.public
}

// subscribe serves WebSockets and polls. nginx may pass an Upgrade header on although the request
// is not an upgrade, so the Connection header decides.
func (e *Edge) subscribe(w http.ResponseWriter, r *http.Request) {
	upgrade := httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
	sub, refusal := e.parse(r)
	switch {
	case refusal == proto.ErrWrongClientID && upgrade:
		e.refuseUpgrade(w, refusal)
	case refusal != nil && upgrade:
		e.refuseWebSocket(w, r, sub.portal)
	case refusal != nil:
		e.refusePoll(w, r, sub.portal, refusal)
	case upgrade:
		e.serveWebSocket(w, r, sub)
	default:
		e.servePoll(w, r, sub)
	}
}

// parse reads the query, and checks the signatures. A refusal is always the client's own fault.
func (e *Edge) parse(r *http.Request) (sub subscription, refusal *proto.Error) {
	query := r.URL.Query()
	if sub.portal = e.portals.Load().find(query.Get("clientId")); sub.portal == nil {
		return sub, proto.ErrWrongClientID
	}
	switch {
	case query.Get("jsonRpc") == "true":
		sub.reader.Codec = wire.RPC
	case query.Get("binaryMode") == "true":
		sub.reader.Codec = wire.Binary
	case query.Get("format") == "json":
		sub.reader.Codec = wire.JSON
	default:
		sub.reader.Codec = wire.Text
	}
	sub.revision = query.Get("revision") != ""
	if id, err := proto.ParseID(query.Get("mid")); err == nil {
		sub.cursor = &id
	}
	if token := query.Get("token"); token != "" {
		refusal = e.parseToken(&sub, r, token)
	} else {
		refusal = e.parseList(&sub, r, query.Get("CHANNEL_ID"))
	}
	if refusal == nil && e.putOut(&sub) {
		e.metrics.revoked.Inc()
		refusal = e.refusal(sign.ErrSignature)
	}
	if refusal == nil {
		sub.client = e.replays.client(sub.portal.Name(), clientAddress(r), sub.reader.Channels)
	}
	return sub, refusal
}

// parseToken checks a token of version 5, and reads from it who the client is and what it may
// watch.
func (e *Edge) parseToken(sub *subscription, r *http.Request, text string) *proto.Error {
	token, err := sub.portal.Signer.ParseToken(text, sub.portal.HostID, time.Now())
	if err != nil {
		cause := trail.RefusedToken
		if errors.Is(err, sign.ErrTokenSignature) {
			cause = trail.RefusedKey
			e.logUnmatched(sub.portal, r)
		} else {
			e.logMalformed(sub.portal, r, err)
		}
		user, channels := sign.Claimed(text)
		if id := channel.ForUser(user); !id.IsZero() {
			channels = append(channels, id)
		}
		e.rememberRefused(sub.portal, cause, channels)
		return proto.ErrWrongChannel
	}
	sub.reader.User, sub.reader.Channels, sub.expires = token.User, token.Channels, token.Expires
	sub.token = revoke.TokenOf(token.ID, text)
	switch id := channel.ForUser(token.User); {
	case !id.IsZero():
		sub.reader.Channels = append([]channel.ID{id}, sub.reader.Channels...)
	case len(token.Channels) == 2: // a guest's: the private id and its public twin
		sub.public = token.Channels[1]
		if sub.reader.Channels = token.Channels[:1]; !channel.ForPublic(sub.public).IsZero() {
			sub.reader.Channels = append(sub.reader.Channels, channel.ForPublic(sub.public))
		}
	}
	return nil
}

// parseList reads a list of channel ids, and checks the signature of each.
func (e *Edge) parseList(sub *subscription, r *http.Request, list string) *proto.Error {
	refs, err := e.config.Grammar.ParseList(list, maxChannels)
	if err != nil {
		e.logMalformed(sub.portal, r, err)
		return e.refusal(err)
	}
	for _, ref := range refs {
		if !sub.portal.Signer.Verify(ref) {
			e.logUnmatched(sub.portal, r)
			e.rememberRefused(sub.portal, trail.RefusedKey, channel.IDs(refs))
			return e.refusal(sign.ErrSignature)
		}
	}
	sub.reader.Channels = channel.IDs(refs)
	for _, ref := range refs {
		if sub.public = ref.Public; !sub.public.IsZero() {
			break
		}
	}
	return nil
}

// refusal returns a refusal in the words of the generation whose ids are served.
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

// stream serves a subscription as server-sent events. A browser that reconnects by itself sends its
// position in a header. The mid of the query is for the first request, and for other readers than
// browsers.
func (e *Edge) stream(w http.ResponseWriter, r *http.Request) {
	sub, refusal := e.parse(r)
	if refusal != nil {
		e.refusePoll(w, r, sub.portal, refusal)
		return
	}
	sub.reader.Codec = wire.Events
	if id, err := proto.ParseID(r.Header.Get("Last-Event-ID")); err == nil {
		sub.cursor = &id
	}
	e.serveStream(w, r, sub)
}

// refuse answers a poll with a text of the protocol.
func refuse(w http.ResponseWriter, refusal *proto.Error) {
	maps.Copy(w.Header(), refusalHeader())
	w.WriteHeader(refusal.Status())
	w.Write([]byte(refusal.Text))
}

// preflight answers OPTIONS as the original does. The known clients send nothing for which a
// browser would ask first.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", wire.PlainText)
	h.Set(transport.AllowOrigin, "*")
	h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "If-Modified-Since, If-None-Match")
}

// refusalHeader returns the header of an answer with a text of the protocol.
func refusalHeader() http.Header {
	return http.Header{"Content-Type": {wire.PlainText}, transport.AllowOrigin: {"*"}, transport.ExposeHeaders: {transport.LastMessageID}}
}

func notFound(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", wire.PlainText)
	h.Set(transport.AllowOrigin, "*")
	w.WriteHeader(http.StatusNotFound)
}
