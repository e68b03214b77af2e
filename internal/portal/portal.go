// Package portal has the portals that a process serves, with their names, keys and limits.
package portal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"pushgate/internal/sign"
)

// Default is the name of the personal portal.
const Default = "default"

// CompareKeys says to an operator what to look at when signatures match no key.
const CompareKeys = "compare the signature key and the algorithm in the portal (Settings → Push and Pull module, or signature_key and signature_algo in .settings.php) " +
	"with PUSHGATE_KEYS (or the keys in the file of PUSHGATE_PORTALS) and PUSHGATE_SIGNATURE_ALGO; if they are equal, another sender than the portal has signed"

// Limits bound what a portal and its clients may do at a time. Only Connections and Rate may be
// zero.
type Limits struct {
	Payload     int64 // bytes of a message or of a batch
	Messages    int   // messages of a batch
	Channels    int   // receivers of a message in a batch; channels of a request for who is online
	Connections int   // of one user on one edge; 0 is no limit
	Posts       int   // under way into the log in one process
	Rate        int   // posts a second in one process, including those of clients; 0 is no limit
}

// Portal is a site with its own keys. It is immutable: a reload makes a new [Table] with new
// portals.
type Portal struct {
	ClientID string       // parameter clientId of its requests; empty for the personal portal
	HostID   string       // its name in version 5; if empty, tokens and posts may have any
	Signer   *sign.Signer // of its channel ids, request bodies and tokens
	Key      []byte       // the first of the signer's keys, which registration hands out
	Licence  string       // hexadecimal MD5 of its licence key, to register; empty: it cannot
	Limits   Limits

	ShortKeys int // how many of the keys are shorter than they should be
}

// Name returns the name of p's log. It never changes, and no other portal has it.
func (p *Portal) Name() string {
	if p.ClientID == "" {
		return Default
	}
	return p.ClientID
}

// LogValue keeps secrets out of logs.
func (p *Portal) LogValue() slog.Value { return slog.StringValue(p.Name()) }

// Format keeps secrets out of whatever is printed, by any verb.
func (p *Portal) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "portal %s", p.Name()) }

// Table holds the portals that a process serves. It is immutable, and its methods may be called
// concurrently.
type Table struct {
	all     []*Portal
	clients map[string]*Portal // by client id, which is empty for the personal portal
	hosts   map[string]*Portal
}

// The errors of [NewTable].
var (
	ErrNone     = errors.New("no portals")
	ErrClientID = errors.New("two portals have the same client id")
	ErrHostID   = errors.New("two portals have the same host id")
)

// NewTable makes a table of at least one portal.
func NewTable(portals ...*Portal) (*Table, error) {
	if len(portals) == 0 {
		return nil, ErrNone
	}
	t := &Table{all: slices.Clone(portals), clients: make(map[string]*Portal), hosts: make(map[string]*Portal)}
	for _, p := range portals {
		if t.clients[p.ClientID] != nil {
			return nil, ErrClientID
		}
		t.clients[p.ClientID] = p
		if p.HostID == "" {
			continue
		}
		if t.hosts[p.HostID] != nil {
			return nil, ErrHostID
		}
		t.hosts[p.HostID] = p
	}
	slices.SortFunc(t.all, func(a, b *Portal) int { return strings.Compare(a.ClientID, b.ClientID) })
	return t, nil
}

// All returns the portals, the personal one first. The slice must not be changed.
func (t *Table) All() []*Portal { return t.all }

// Personal returns the portal without a client id, or nil if there is none.
func (t *Table) Personal() *Portal { return t.clients[""] }

// ShortKeys returns how many keys of all portals are shorter than they should be.
func (t *Table) ShortKeys() (n int) {
	for _, p := range t.all {
		n += p.ShortKeys
	}
	return n
}

// Shared reports whether requests must have a client id, because there is any portal but the
// personal one.
func (t *Table) Shared() bool { return len(t.all) > 1 || t.Personal() == nil }

// Find returns the portal of a request with a client id, which may be empty, or nil if there is no
// such portal. If the personal portal is the only one, every request is its own whatever the client
// id is, as in the original server.
func (t *Table) Find(clientID string) *Portal {
	if !t.Shared() {
		return t.Personal()
	}
	return t.clients[clientID]
}

// FindHost returns the portal with a host id, or nil if there is none. No portal is found by an
// empty id.
func (t *Table) FindHost(hostID string) *Portal { return t.hosts[hostID] }
