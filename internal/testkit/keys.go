package testkit

import (
	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

// Signer returns the signer of a portal with these keys, as tests know them: it panics if a key is
// empty. The signatures are made with SHA-1, the default of portals.
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

// Channel returns the channel with a number.
func Channel(n byte) channel.ID { return channel.FromBytes([16]byte{n}) }

// ParseChannel returns the channel with an id as it is written, and panics if it is none.
func ParseChannel(text string) channel.ID {
	id, err := channel.Parse(text)
	if err != nil {
		panic(err)
	}
	return id
}
