package store

import "fmt"

// Risk is a way in which the settings of a server endanger messages, or the absence of it.
type Risk struct {
	Name    string // one of [RiskNames]
	Problem string // with its remedy; empty if there is none
}

// The names of risks.
const (
	RiskEviction    = "eviction"    // messages may be evicted
	RiskPersistence = "persistence" // messages are in one memory only
	RiskVersion     = "version"     // commands that the store needs are missing
)

// RiskNames returns the names of all risks.
func RiskNames() []string { return []string{RiskEviction, RiskPersistence, RiskVersion} }

// The oldest versions that have all commands: ZMSCORE of 6.2, and for a cluster SPUBLISH and
// SSUBSCRIBE of 7.0.
const (
	oldestMinor   = 602
	oldestCluster = 700
)

// Risks returns those risks of which the server says enough to know whether they are there.
func (n Node) Risks() []Risk {
	var risks []Risk
	know := func(name string, bad bool, format string, args ...any) {
		risk := Risk{Name: name}
		if bad {
			risk.Problem = fmt.Sprintf(format, args...)
		}
		risks = append(risks, risk)
	}
	if n.Eviction != "" {
		already := ""
		if n.Evicted > 0 { // without the number, which would be news at each look
			already = ", and has evicted keys already"
		}
		know(RiskEviction, n.Eviction != "noeviction", "maxmemory-policy is %s, so Redis evicts messages when maxmemory is reached%s: "+
			"set noeviction, in a Redis that is used for nothing else", n.Eviction, already)
	}
	if n.AOF == "on" || n.AOF == "off" && n.Replicas >= 0 {
		know(RiskPersistence, n.AOF == "off" && n.Replicas == 0, "appendonly is off and there is no replica, so a restart of Redis "+
			"loses messages: set appendonly yes, or add a replica")
	}
	var major, minor int
	if _, err := fmt.Sscanf(n.Version, "%d.%d", &major, &minor); err == nil {
		oldest := oldestMinor
		if n.Cluster {
			oldest = oldestCluster
		}
		know(RiskVersion, 100*major+minor < oldest, "version %s is too old: use %d.%d or later", n.Version, oldest/100, oldest%100)
	}
	return risks
}
