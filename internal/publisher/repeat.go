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

// withKey notes what makes a repeated post the same as the first: its header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) and whose
// it is, so that nobody can take another's.
func withKey(ctx context.Context, h http.Header, owner string) context.Context {
	values := h["Idempotency-Key"]
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey {
		return ctx
	}
	return context.WithValue(ctx, keyOfPost{}, sha256.Sum256([]byte(owner+"\x00"+values[0])))
}

// once has a post whose signature holds for a time only published once, however often it comes: the signature is its key, whatever header
// stands beside it, since nobody has signed that.
func once(r *http.Request, q query) {
	if q.time != "" {
		r.Header["Idempotency-Key"] = []string{q.signature}
	}
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
