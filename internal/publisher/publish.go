package publisher

import (
	"net/http"
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
)

// publish serves a post. It reports no fault before it knows that the post comes from a portal. It
// answers a success only after the log has the message; the originals answer before, and can lose
// it.
func (p *Publisher) publish(w http.ResponseWriter, r *http.Request) {
	query := parseQuery(r.URL.RawQuery)
	t, no := p.tenant(query)
	if no != nil {
		p.logRefused(p.notices, r, no, clientRemedy)
		p.refuse(w, no)
		return
	}
	body, owner, no := t.read(w, r, query)
	if no != nil {
		p.refuse(w, no)
		return
	}
	t.sample(r)
	if query.binary {
		t.portalBatch(w, r, owner, body)
		return
	}
	m, no := t.message(r.Header, query, body)
	if no != nil {
		p.refuse(w, no)
		return
	}
	// A portal may hang up without waiting for the answer; its message is published all the same.
	ctx, end := p.begin(withKey(p.detached(r), r.Header, owner))
	defer end()
	receipts, err := t.log.Append(ctx, m)
	switch {
	case err != nil:
		p.refuse(w, failure(err))
	case receipts[0].ID.IsZero():
		p.refuse(w, closed)
	default:
		t.tally.Request(tally.IncomingMessages)
		if !receipts[0].Repeated {
			t.tally.Message(m.Type)
		}
		p.copied(ctx, w, r, body)
		answer(w, http.StatusOK, "")
	}
}

// read returns the body of an authorized post and the owner of its idempotency key. An outsider
// without a signature is refused before any of the body is read.
func (t *tenant) read(w http.ResponseWriter, r *http.Request, q query) (body []byte, owner string, no *refusal) {
	switch {
	case t.trusts(r):
		body, no = readBody(r, t.Limits.Payload, nil)
		return body, unsignedSender, no
	case q.signature == "":
		leaveUnread(w)
		return nil, "", t.refuseUnsigned(r, q)
	default:
		return t.readSigned(w, r, q, t.Limits.Payload, t.wrongSignature(q))
	}
}

// readSigned returns a signed body of at most limit bytes and the owner of its idempotency key, or
// the refusal no. What cannot be a signature is refused before any of the body is read.
func (t *tenant) readSigned(w http.ResponseWriter, r *http.Request, q query, limit int64, no *refusal) (body []byte, owner string, fault *refusal) {
	if !t.Signer.WellFormed(q.signature) {
		t.logUnmatched(&t.unmatched.posts, r)
		leaveUnread(w)
		return nil, "", no
	}
	hold := t.publisher.reserve(w, r)
	defer hold.release()
	if body, fault = readBody(r, limit, hold); fault != nil {
		return nil, "", fault
	}
	plain := func() bool { return t.Signer.VerifyBody(body, q.signature) }
	if fault = t.authenticate(q, plain, body, no); fault != nil {
		if fault == no {
			t.logUnmatched(&t.unmatched.posts, r)
		} else {
			t.logRefused(r, fault, clockRemedy)
		}
		return nil, "", fault
	}
	return body, once(r, q), nil
}

// message returns the message of a post.
func (t *tenant) message(h http.Header, q query, body []byte) (*proto.Message, *refusal) {
	receivers, no := t.receivers(q.channels)
	if no != nil {
		return nil, no
	}
	if len(body) == 0 {
		return nil, emptyPost
	}
	checked, typ, err := proto.CheckBody(body)
	if err != nil {
		return nil, frameMarker
	}
	return &proto.Message{
		Receivers: receivers,
		Sender:    proto.Sender{Type: proto.SenderBackend},
		Type:      typ,
		Body:      checked,
		Created:   time.Now().Truncate(time.Microsecond),
		TTL:       t.publisher.config.Rules.TTL(typ, expiry(h["Message-Expiry"])),
	}, nil
}

// maxParts bounds the parts of the channel list of a text post.
const maxParts = 1 << 10

// receivers reads the channel list of a post. Private ids need no signature, because only a portal
// knows them; a part with a public id needs one. The private id stands for both: the public id of
// the pair names the same user.
func (t *tenant) receivers(list string) ([]channel.ID, *refusal) {
	refs, err := t.publisher.config.Grammar.ParseList(list, maxParts)
	switch {
	case err == channel.ErrNoID:
		return nil, noChannelID
	case err == channel.ErrTooMany:
		return nil, tooMany
	case err != nil || !t.signed(refs):
		return nil, badChannelID
	}
	return private(refs), nil
}

// signed reports whether all parts with a public id have a valid signature.
func (t *tenant) signed(refs []channel.Ref) bool {
	for _, ref := range refs {
		if !ref.Public.IsZero() && !t.Signer.Verify(ref) {
			return false
		}
	}
	return true
}

// private returns the private ids of refs, each once, in the order of the list.
func private(refs []channel.Ref) []channel.ID {
	if len(refs) == 1 { // most posts
		return []channel.ID{refs[0].Private}
	}
	bare := make([]channel.Ref, len(refs))
	for i, ref := range refs {
		bare[i].Private = ref.Private
	}
	return channel.IDs(bare)
}

// expiry reads a Message-Expiry header as JavaScript's parseInt does, in seconds: white space, a
// sign, as many digits as there are. A value that is not positive counts as 0, as if there was no
// header; one beyond MaxTTL counts as MaxTTL.
func expiry(values []string) time.Duration {
	if len(values) == 0 {
		return 0
	}
	s := strings.TrimSpace(values[0])
	if strings.HasPrefix(s, "-") {
		return 0
	}
	s = strings.TrimPrefix(s, "+")
	const most = int(proto.MaxTTL / time.Second)
	seconds := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		seconds = min(seconds*10+int(s[i]-'0'), most)
	}
	return time.Duration(seconds) * time.Second
}
