package proto

import "encoding/json"

// Process has the statistics of a process, in total and by portal. It must not be changed once
// other goroutines may read it.
type Process struct {
	ProcessStats
	Edge bool `json:"edge,omitempty"` // whether it serves subscribers
	// By name. A portal that is missing has the limits of the process, and no counts.
	Portals map[string]Numbers `json:"portals,omitempty"`
}

// Of returns the statistics of one portal.
func (p Process) Of(portal string) ProcessStats {
	stats := p.ProcessStats
	numbers, ok := p.Portals[portal]
	if !ok {
		numbers = Numbers{Limits: p.Limits, Cluster: p.Cluster}
	}
	stats.Numbers = numbers
	return stats
}

// ProcessStats is an object of /server-stat/ (docs/protocol.md, Statistics).
type ProcessStats struct {
	PID  int    `json:"pid"`
	Date int64  `json:"date"` // unix milliseconds
	ID   string `json:"processUniqueId"`
	Numbers
}

// Numbers are the counts and limits of a process, for one portal or for all.
type Numbers struct {
	Channels   int         `json:"channels"` // with at least one subscriber
	Limits     StatsLimits `json:"limits"`
	Cluster    bool        `json:"clusterMode"` // always true: there may be several processes
	WebSockets int         `json:"websockets"`  // connected now
	Polls      int         `json:"pollings"`    // held now: long polls and streams of events
	Daily      Daily       `json:"daily"`
}

// StatsLimits are the limits of a process. 0 means that there is no limit.
type StatsLimits struct {
	Payload     int64 `json:"maxPayload"` // bytes
	Connections int   `json:"maxConnPerChannel"`
	Messages    int   `json:"maxMessagesPerRequest"`
	Channels    int   `json:"maxChannelsPerRequest"`
}

// Daily counts what has been accepted since midnight.
type Daily struct {
	Requests Counts `json:"requests"` // by command or method
	Messages Counts `json:"messages"` // by type
}

// Counts are numbers of events by name.
type Counts map[string]int64

// MarshalJSON implements [json.Marshaler]. Nil Counts are an empty object.
func (c Counts) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]int64(c))
}
