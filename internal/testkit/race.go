//go:build race

package testkit

// Race reports whether the race detector is on, with which some work takes ten times as long.
const Race = true
