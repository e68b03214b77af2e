package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"pushgate/internal/proto"
)

// maxIdempotencyKey bounds the header, in bytes. A longer one is ignored, because a shortened key
// could equal another.
const maxIdempotencyKey = 255

// keyOfPost is the context key of a post's idempotency key.
type keyOfPost struct{}

// The owners of idempotency keys, besides clients, who own theirs by their public id. So nobody can
// use the key of another owner and make that owner's later post count as repeated.
const (
	unsignedSender = "unsigned"
	signedSender   = "signed"
	timedSender    = "timed" // the key of a post that is signed with a time is its signature
)

// withKey returns ctx with what identifies a repeated post: its header Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header) and the owner of the key.
func withKey(ctx context.Context, h http.Header, owner string) context.Context {
	values := h["Idempotency-Key"]
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey {
		return ctx
	}
	return context.WithValue(ctx, keyOfPost{}, sha256.Sum256([]byte(owner+"\x00"+values[0])))
}

// once returns the owner of the key of a signed post. A post whose signature holds for a time is
// published once, however often it comes: the signature is its key, whatever the header says, since
// the header is not signed.
func once(r *http.Request, q query) (owner string) {
	if q.time == "" {
		return signedSender
	}
	r.Header["Idempotency-Key"] = []string{q.signature}
	return timedSender
}

// setKeys sets a key for each message of a post, if the post has one.
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
