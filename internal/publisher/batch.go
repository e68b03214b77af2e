package publisher

import (
	"context"
	"errors"
	"net/http"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

const allowOrigin = "Access-Control-Allow-Origin"

// maxOwnChannels bounds the ids that a client may name as its own. A browser names two or three.
const maxOwnChannels = 128

// portalBatch carries out a batch of an authorized post. owner owns its idempotency key.
func (t *tenant) portalBatch(w http.ResponseWriter, r *http.Request, owner string, batch []byte) {
	p := t.publisher
	// As with any post, the portal may hang up.
	ctx, end := p.begin(withKey(p.detached(r), r.Header, owner))
	defer end()
	reply, err := t.batches.Portal(ctx, batch)
	w.Header().Set(allowOrigin, "*")
	if err == nil {
		p.copied(ctx, w, r, batch)
	}
	p.batchDone(w, reply, err)
}

// clientBatch carries out a batch of a browser. It is open to the world: the portal's signatures
// say who the client is and to whom it may write.
func (p *Publisher) clientBatch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(allowOrigin, "*")
	q := parseQuery(r.URL.RawQuery)
	t, _ := p.tenant(q)
	var public channel.ID
	var own []channel.Ref
	if t != nil {
		public, own = t.ownPublic(r, q.channels)
	}
	if public.IsZero() {
		p.refuse(w, refusalOf[proto.ErrNoPublicID]) // before any of the body is read
		return
	}
	batch, no := readBody(r, t.Limits.Payload, nil)
	if no != nil {
		p.refuse(w, no)
		return
	}
	t.sampleClient(r)
	ctx, end := p.begin(withKey(context.WithoutCancel(r.Context()), r.Header, public.String()))
	defer end()
	switch out, err := t.out(ctx, own); {
	case err != nil:
		p.refuse(w, failure(err))
		return
	case out:
		p.refuse(w, revoked)
		return
	}
	if t.clientText(ctx, w, r, public, batch) {
		return
	}
	reply, err := t.batches.Client(ctx, public, batch)
	if err == nil {
		p.copied(ctx, w, r, batch)
	}
	p.batchDone(w, reply, err)
}

// ownPublic returns a request's list, and its first public id, which identifies the client. All
// parts of the list must be signed. It returns the zero id if there is none.
func (t *tenant) ownPublic(r *http.Request, list string) (public channel.ID, refs []channel.Ref) {
	refs, err := t.publisher.config.Grammar.ParseList(list, maxOwnChannels)
	if err != nil {
		return channel.ID{}, nil
	}
	for _, ref := range refs {
		if !t.Signer.Verify(ref) {
			t.logUnmatched(&t.unmatched.clients, r)
			return channel.ID{}, nil
		}
		if public.IsZero() {
			public = ref.Public
		}
	}
	return public, refs
}

// batchDone answers with the result of a batch.
func (p *Publisher) batchDone(w http.ResponseWriter, reply []byte, err error) {
	var refused *proto.Error
	switch {
	case errors.As(err, &refused) && refusalOf[refused] != nil:
		p.refuse(w, refusalOf[refused])
	case err != nil:
		p.refuse(w, failure(err))
	case reply == nil:
		answer(w, http.StatusOK, "")
	default:
		p.metrics.questions.Inc()
		w.Header().Set(allowOrigin, "*")
		answerAs(w, octets, http.StatusOK, string(reply))
	}
}

// preflight answers the OPTIONS of pages that ask before they post. The known pages do not ask:
// their requests need no preflight.
func preflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set(allowOrigin, "*")
	h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "If-Modified-Since, If-None-Match")
	answer(w, http.StatusOK, "")
}
