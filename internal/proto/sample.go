package proto

// Sample is what a process did, as it is kept for its history. Package history encodes it.
type Sample struct {
	At   int64 // unix ms, by the clock of Redis
	Text string
}
