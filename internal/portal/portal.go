// Package portal says which tenants a process serves: what each is called, its keys and its limits.
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
	"with PUSHGATE_KEYS (or the keys in the file of PUSHGATE_PORTALS) and PUSHGATE_SIGNATURE_ALGO; if they are equal, somebody else than the portal has signed"

// Limits bound what a portal and its clients may ask at a time. None of them is zero, but for Connections and Rate.
type Limits struct {
	Payload     int64 // bytes of a message or of a batch
	Messages    int   // messages of a batch
	Channels    int   // receivers of a message of a batch, and channels of a question who is online
	Connections int   // of one user that one edge holds; 0 is no limit
	Posts       int   // on their way into the log at one process
	Rate        int   // posts a second at one process, those of clients too; 0 is no limit
}

// Portal is one tenant. It is immutable: what changes is which portals a [Table] holds.
type Portal struct {
	ClientID string       // how its requests name it (parameter clientId); empty: it is the personal one, which needs no name
	HostID   string       // what it calls itself in version 5; empty: tokens and posts may say anything
	Signer   *sign.Signer // of its channel ids, request bodies and tokens
	Key      []byte       // the first of the signer's keys, which registration hands out
	Licence  string       // MD5 of its licence key in hexadecimal digits, by which it registers; empty: it cannot
	Limits   Limits

	ShortKeys int // how many of the keys are shorter than they should be
}

// Name is what the log of p is called. It never changes, and no other portal has it.
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

// Table is the portals that a process serves. It is immutable, and its methods may be called concurrently.
type Table struct {
	all     []*Portal
	clients map[string]*Portal // by client id; the personal one's is empty
	hosts   map[string]*Portal
}

// The reasons why portals make no table.
var (
	ErrNone     = errors.New("there is no portal")
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

// Personal returns the portal that needs no name; nil if there is none.
func (t *Table) Personal() *Portal { return t.clients[""] }

// ShortKeys returns how many keys of all portals are shorter than they should be.
func (t *Table) ShortKeys() (n int) {
	for _, p := range t.all {
		n += p.ShortKeys
	}
	return n
}

// Shared reports whether there are portals that must be named.
func (t *Table) Shared() bool { return len(t.all) > 1 || t.Personal() == nil }

// Find returns the portal of a request with a client id, which may be empty; nil if there is none. Where the personal portal is alone,
// every request is its own: there the parameter means nothing, as in the original.
func (t *Table) Find(clientID string) *Portal {
	if !t.Shared() {
		return t.Personal()
	}
	return t.clients[clientID]
}

// FindHost returns the portal that calls itself by a host id; nil if none does. Empty ids are nobody's.
func (t *Table) FindHost(hostID string) *Portal { return t.hosts[hostID] }
