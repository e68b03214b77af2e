//go:build testvectors

package config

// The test vectors are signed with one of the published keys. End-to-end tests run a build that
// accepts it.
func init() { clear(published) }
