package proto

// MirrorHeader marks a post as the copy of a post that another server has accepted. Such a post is
// not copied again, so that two servers that mirror each other make no loop. In an answer it says
// that the server recognizes a repeated Idempotency-Key, so a copy can be sent again without doubt.
const MirrorHeader = "X-Pushgate-Mirror"
