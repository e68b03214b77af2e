package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pushgate/internal/portal"
)

func writePortals(t *testing.T, text string) (environ string, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "portals.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "PUSHGATE_PORTALS=" + name, name
}

func TestPortals(t *testing.T) {
	environ, name := writePortals(t, `{"portals": [
		{"client_id": "fcda45d0859442735f07b8bb5825ded1", "keys": ["0123456789abcdef", "old-0123456789abcdef"], "host_id": "a",
		 "licence": "781e5e245d69b566979b86e28d23f2c7", "limits": {"messages": 7, "connections": 0}},
		{"keys": ["fedcba9876543210"]}]}`)
	e, err := LoadEdge([]string{environ, "PUSHGATE_MAX_CHANNELS=50"})
	if err != nil {
		t.Fatal(err)
	}
	table, err := e.Portals()
	if err != nil {
		t.Fatal(err)
	}
	p := table.Find("fcda45d0859442735f07b8bb5825ded1")
	if p == nil || p.HostID != "a" || string(p.Key) != "0123456789abcdef" || p.Licence == "" ||
		p.Limits != (portal.Limits{Payload: 1 << 20, Messages: 7, Channels: 50, Connections: 0, Posts: 4096}) {
		t.Errorf("%#v %+v", p, p.Limits)
	}
	if old := p.Signer.SignBody([]byte("x")); !table.Shared() || table.Personal().Signer.VerifyBody([]byte("x"), old) {
		t.Error("a portal verifies by another's key")
	}
	if got := table.Personal().Limits; got != (portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 50, Connections: 100, Posts: 4096}) {
		t.Errorf("%+v", got)
	}

	if err := os.WriteFile(name, []byte(`{"portals": [{"keys": ["a new key of 16+ bytes"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if table, err = e.Portals(); err != nil || table.Shared() || string(table.Personal().Key) != "a new key of 16+ bytes" {
		t.Errorf("read again: %v %v", table, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err = e.Portals(); err == nil {
		t.Error("no file, no error")
	}
}

func TestPortalFaults(t *testing.T) {
	const key = `"keys": ["secret-0123456789"]`
	for _, c := range []struct{ text, want string }{
		{``, "invalid JSON"},
		{`{"portals": [}`, "invalid JSON at byte 14"},
		{`{"portals": []}`, "no portals"},
		{`{"portals": [{` + key + `}]} {}`, "unexpected text after"},
		{`{"portals": {"secret": 1}}`, "portals: expected an array"},
		{`{"portals": [{"key": "secret"}]}`, `unknown field "key"`},
		{`{"portals": [{}]}`, "portal 1: no keys"},
		{`{"portals": [{"keys": ["secret"]}]}`, "portal 1: key 1 has 6 bytes, fewer than 16"},
		{`{"portals": [{"keys": [1]}]}`, "portals.keys: expected a string"},
		{`{"portals": [{"client_id": "X", ` + key + `}]}`, "client_id must be 32"},
		{`{"portals": [{"host_id": "a b", ` + key + `}]}`, "host_id must be 1 to 64"},
		{`{"portals": [{"licence": "secret", ` + key + `}]}`, "licence must be an MD5"},
		{`{"portals": [{` + key + `}, {` + key + `}]}`, "two portals have the same client id"},
		{`{"portals": [{` + key + `, "limits": {"payload": 0}}]}`, "limit of payload: 0 is out of bounds (from 1 to 67108864)"},
		{`{"portals": [{` + key + `, "limits": {"messages": 1000000}}]}`, "limit of messages"},
		{`{"portals": [{` + key + `, "limits": {"connections": -1}}]}`, "limit of connections"},
	} {
		environ, _ := writePortals(t, c.text)
		_, err := LoadPublisher([]string{environ})
		checkFault(t, c.text, err, c.want)
	}
	_, err := LoadPublisher([]string{"PUSHGATE_PORTALS=/nowhere/portals.json"})
	checkFault(t, "no file", err, "no such file")
	environ, _ := writePortals(t, `{"portals": [{"keys": ["x"]}, {"keys": ["y"]}]}`)
	if _, err = LoadPublisher([]string{environ}); strings.Count(err.Error(), "portal 1") != 1 || strings.Count(err.Error(), "portal 2") != 1 {
		t.Errorf("not all faults at once: %v", err)
	}
	environ, _ = writePortals(t, `{"portals": [{`+key+`}]}`)
	for _, other := range []string{"PUSHGATE_KEYS=0123456789abcdef", "PUSHGATE_HOST_ID=x"} {
		_, err := LoadEdge([]string{environ, other})
		checkFault(t, other, err, "so is PUSHGATE_PORTALS")
	}
}

func FuzzPortals(f *testing.F) {
	f.Add([]byte(`{"portals": [{"client_id": "fcda45d0859442735f07b8bb5825ded1", "keys": ["0123456789abcdef"], "limits": {"payload": 1}}]}`))
	f.Add([]byte(`{"portals": [{"keys": [""]}, null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Common{SignatureAlgo: "sha1", limits: portal.Limits{Payload: 1, Messages: 1, Channels: 1}}
		table, err := c.parsePortals(text)
		if err != nil {
			return
		}
		for _, p := range table.All() {
			if p.Signer == nil || len(p.Key) < MinKey || p.Limits.Payload < 1 || p.Limits.Messages < 1 || p.Limits.Channels < 1 {
				t.Errorf("%q: %+v", text, p.Limits)
			}
		}
	})
}
