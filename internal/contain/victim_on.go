//go:build faultinject

package contain

import (
	"math/rand/v2"
	"os"
	"strconv"
)

// oneIn says that one in so many connections panics: PUSHGATE_FAULT_ONE_IN; 0 means none.
var oneIn, _ = strconv.Atoi(os.Getenv("PUSHGATE_FAULT_ONE_IN"))

var places = []string{"turn", "read", "tick"}

// Victim is a connection that may panic at one place. Only builds with the tag faultinject have it.
type Victim struct{ place string }

// NewVictim returns a Victim that panics, at a random place, for one connection in
// PUSHGATE_FAULT_ONE_IN.
func NewVictim() Victim {
	if oneIn <= 0 || rand.IntN(oneIn) > 0 {
		return Victim{}
	}
	return Victim{places[rand.IntN(len(places))]}
}

// Strike panics if v must panic at this place.
func (v Victim) Strike(place string) {
	if v.place == place {
		panic("injected at " + place)
	}
}
