//go:build !faultinject

package contain

// Victim is a connection in which a test build may panic. In every other build it is empty.
type Victim struct{}

// NewVictim returns the zero value.
func NewVictim() Victim { return Victim{} }

// Strike does nothing.
func (Victim) Strike(string) {}
