package admin

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of wrong tokens in a window.
const (
	guessWindow     = time.Minute
	guessesOfOne    = 5    // of an address, before more are answered with 429
	guessesOfAll    = 100  // of all addresses, likewise
	guessersCounted = 1024 // addresses; those beyond are only in the count of all
)

// guesses counts wrong tokens. It says when to ask somebody to wait, never when to look away: a
// token is always compared first, so that a right one gets in whatever others have sent from the
// same address, which may be that of a proxy. That guesses are hopeless is due to the length of
// tokens; the pace keeps them cheap and makes them seen. The zero value is ready to use, and its
// methods may be called concurrently.
type guesses struct {
	mu   sync.Mutex
	from time.Time // when the window began
	all  int
	of   map[string]int // by address
}

// count counts a wrong token of an address. It returns how long its sender should wait before the
// next; 0 if it need not.
func (g *guesses) count(address string, now time.Time) time.Duration {
	address = network(address)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil || now.Sub(g.from) >= guessWindow {
		g.from, g.all, g.of = now, 0, make(map[string]int)
	}
	g.all++
	if _, known := g.of[address]; known || len(g.of) < guessersCounted {
		g.of[address]++
	}
	if g.of[address] > guessesOfOne || g.all > guessesOfAll {
		return g.from.Add(guessWindow).Sub(now)
	}
	return 0
}

// network returns what stands for an address: of IPv6 the network, of which one machine has every
// address.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() {
		return address
	}
	prefix, _ := addr.Prefix(64) // fails only for a wrong length
	return prefix.String()
}
