package testkit

import (
	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

// Signer returns the signer of a portal with these keys. Its algorithm is SHA-1, the default of
// portals. It panics if there is no key or an empty one.
func Signer(keys ...string) *sign.Signer {
	raw := make([][]byte, len(keys))
	for i, key := range keys {
		raw[i] = []byte(key)
	}
	s, err := sign.New("sha1", raw...)
	if err != nil {
		panic(err)
	}
	return s
}

// Channel returns a channel that differs for each n.
func Channel(n byte) channel.ID { return channel.FromBytes([16]byte{n}) }

// ParseChannel parses a channel id, and panics if it is not valid.
func ParseChannel(text string) channel.ID {
	id, err := channel.Parse(text)
	if err != nil {
		panic(err)
	}
	return id
}
