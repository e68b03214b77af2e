package sign

import (
	"testing"

	"pushgate/internal/channel"
)

// BenchmarkSignedList measures the check of a subscriber's query: a private id with its public
// twin, and a shared one, both signed.
func BenchmarkSignedList(b *testing.B) {
	signer, err := New("sha1", []byte("a key of the tests"))
	if err != nil {
		b.Fatal(err)
	}
	own := signer.Sign(channel.Ref{Private: channel.FromBytes([16]byte{1}), Public: channel.FromBytes([16]byte{2})})
	shared := signer.Sign(channel.Ref{Private: channel.FromBytes([16]byte{3})})
	list := own.String() + "/" + shared.String()
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := channel.Hex.ParseList(list, 128); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !signer.Verify(own) || !signer.Verify(shared) {
				b.Fatal("a wrong signature")
			}
		}
	})
}
