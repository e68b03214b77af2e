package load

import (
	"fmt"
	"net/netip"

	"pushgate/tools/load/loop"
)

const (
	// spare is how many descriptors are needed beside connections.
	spare = 32
	// perSource is how many connections one address makes to one server; Linux has 28,232 ports for
	// them unless the settings say otherwise.
	perSource = 25_000
)

// room makes sure that there are descriptors and ports for all connections, and says what to do if
// there are not.
func (r *run) room() error {
	limit, err := loop.Descriptors()
	if err != nil {
		return err
	}
	need := uint64(r.Connections + r.Publishers + spare)
	if need > limit {
		most := max(int(limit)-r.Publishers-spare, 0)
		runs := (r.Connections + max(most, 1) - 1) / max(most, 1)
		return fmt.Errorf("%d connections need %d descriptors, and this process may have %d: raise the limit (ulimit -n), or run %d of these at the same time with "+
			"--connections %d each; every one has channels of its own", r.Connections, need, limit, runs, (r.Connections+runs-1)/runs)
	}
	if len(r.Sources) > 0 {
		return nil
	}
	if r.loopback() {
		r.Sources = loopbackSources(r.Connections+r.Publishers, r.Slow)
	}
	return nil
}

// loopbackSources returns as many addresses as so many connections need, and at least one for each
// slow reader: a server may pace those that come from one address and load the same messages. None
// means that the usual one will do.
func loopbackSources(connections, slow int) (sources []netip.Addr) {
	address := netip.MustParseAddr("127.0.0.1")
	for n := 0; connections > perSource && n < connections || len(sources) < slow; n += perSource {
		sources = append(sources, address)
		address = address.Next()
	}
	return sources
}

// loopback reports whether all servers are on this machine, where every address of 127.0.0.0/8 is
// one to connect from.
func (r *run) loopback() bool {
	for _, t := range append(r.subTargets, r.pubTargets...) {
		if !t.addr.Addr().Is4() || !t.addr.Addr().IsLoopback() {
			return false
		}
	}
	return true
}
