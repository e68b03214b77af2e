package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"pushgate/internal/proto"
)

// maxIdempotencyKey is how long the header may be, in bytes. A longer one is not heeded, as if there was none: it could not be told from others.
const maxIdempotencyKey = 255

// keyOfPost is where the context of a post has its key.
type keyOfPost struct{}

// The owners of idempotency keys, besides clients, who own theirs by their public id. Nobody can
// take a key of another owner's, so that the later post of that owner would count as a repeated
// one.
const (
	unsignedSender = "unsigned"
	signedSender   = "signed"
	timedSender    = "timed" // the key of a post that is signed with a time is its signature
)

// withKey returns ctx with what makes a repeated post the same as the first: its header
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) and whose it is.
func withKey(ctx context.Context, h http.Header, owner string) context.Context {
	values := h["Idempotency-Key"]
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey {
		return ctx
	}
	return context.WithValue(ctx, keyOfPost{}, sha256.Sum256([]byte(owner+"\x00"+values[0])))
}

// once returns the owner of the key of a signed post. A post whose signature holds for a time is
// published once, however often it comes: the signature is its key, whatever header stands beside
// it, since nobody has signed that.
func once(r *http.Request, q query) (owner string) {
	if q.time == "" {
		return signedSender
	}
	r.Header["Idempotency-Key"] = []string{q.signature}
	return timedSender
}

// setKeys gives each message of a post a key of its own, if the post has one.
func setKeys(ctx context.Context, msgs []*proto.Message) {
	key, ok := ctx.Value(keyOfPost{}).([sha256.Size]byte)
	if !ok {
		return
	}
	for i, m := range msgs {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(key[:], uint32(i)))
		m.Key = base64.RawURLEncoding.EncodeToString(sum[:16])
	}
}
