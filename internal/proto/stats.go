package proto

import "encoding/json"

// Process is what a process tells of itself, as a whole and by portal. It is immutable once it has
// been handed on.
type Process struct {
	ProcessStats
	Edge    bool               `json:"edge,omitempty"`    // it takes subscribers
	Portals map[string]Numbers `json:"portals,omitempty"` // by name; one that is not there has nothing to tell but the limits of the whole
}

// Of gives what p tells of one portal.
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

// Numbers is how much there is at a process, of one portal or of all.
type Numbers struct {
	Channels   int         `json:"channels"` // that somebody is subscribed to
	Limits     StatsLimits `json:"limits"`
	Cluster    bool        `json:"clusterMode"` // it is one process of several, which it always may be
	WebSockets int         `json:"websockets"`  // connected now
	Polls      int         `json:"pollings"`    // likewise, requests that rest: long polls and streams of events
	Daily      Daily       `json:"daily"`
}

// StatsLimits is the limits that a process holds; 0 is one that it does not hold.
type StatsLimits struct {
	Payload     int64 `json:"maxPayload"` // bytes
	Connections int   `json:"maxConnPerChannel"`
	Messages    int   `json:"maxMessagesPerRequest"`
	Channels    int   `json:"maxChannelsPerRequest"`
}

// Daily is what has been accepted since midnight.
type Daily struct {
	Requests Counts `json:"requests"` // by command or method
	Messages Counts `json:"messages"` // by type
}

// Counts is how often there was what, by its name.
type Counts map[string]int64

// MarshalJSON implements [json.Marshaler]. Counts are always an object.
func (c Counts) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]int64(c))
}
