//go:build faultinject

package contain

import (
	"math/rand/v2"
	"os"
	"strconv"
)

// oneIn is of how many connections one panics: FAULT_ONE_IN in the environment, or none. The name
// has no prefix because programs do not start with a prefixed variable that they do not know.
var oneIn, _ = strconv.Atoi(os.Getenv("FAULT_ONE_IN"))

var places = []string{"deliver", "read", "tick"}

// Victim is a connection that may panic at one place. Only builds with the tag faultinject have it.
type Victim struct{ place string }

// NewVictim makes one connection in FAULT_ONE_IN a victim, at a place by chance.
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
