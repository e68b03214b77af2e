package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

// callsOf returns how many calls of a cause have been counted for a portal, and whether it has the
// series.
func callsOf(t *testing.T, registry prometheus.Gatherer, portal, cause string) (n float64, found bool) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if labels := m.GetLabel(); family.GetName() == "pushgate_portal_calls_total" && labels[0].GetValue() == cause && labels[1].GetValue() == portal {
				return m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

// TestPortalCalls: everything by which an edge makes a client call PHP is counted once for each
// client, and nothing else is.
func TestPortalCalls(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		want := make(map[string]float64)
		check := func(what, cause string, more float64) {
			t.Helper()
			want[cause] += more
			for _, cause := range []string{callRefused, callConfigNote, callGapNote} {
				if got, _ := callsOf(t, w.metrics, portal.Default, cause); got != want[cause] {
					t.Errorf("%s: %v calls by %s, want %v", what, got, cause, want[cause])
				}
			}
		}
		check("nothing", callRefused, 0)
		conn := w.dial(w.url("/subws/", alice.String()))
		_, _ = w.read(conn)
		check("a WebSocket with an unsigned list", callRefused, 1)
		<-w.get(w.url("/sub/", "wrong"))
		check("a poll with a wrong list", callRefused, 1)

		first, second := w.dial(w.url("/subws/", signed(alice))), w.get(w.url("/sub/", signed(alice)))
		w.dial(w.url("/subws/", signed(bob)))
		say := func(typ, body string) {
			t.Helper()
			w.append(&proto.Message{Receivers: []channel.ID{alice}, Type: typ, Body: []byte(body), TTL: time.Hour})
			if _, err := w.read(first); err != nil {
				t.Fatal(err)
			}
		}
		say("im_message", `{"module_id":"im","command":"message","params":{"action":"get_config"}}`)
		<-second
		second = w.get(w.url("/sub/", signed(alice)))
		check("a message", callConfigNote, 0)
		say("pull_config_expire", `{"module_id":"pull","command":"config_expire","params":{}}`)
		<-second
		check("config_expire to two of three clients", callConfigNote, 2)
		say("pull_channel_expire", `{"module_id":"pull","command":"channel_expire","params":{"action":"reconnect"}}`)
		check("a new channel, which the message names", callConfigNote, 0)
		say("Pull_Channel_Expire", `{"module_id":"Pull","command":"CHANNEL_EXPIRE","params":{"action":"get_config"}}`)
		check("channel_expire to one client", callConfigNote, 1)

		old := w.publish("{}", bob)
		w.publish("{}", bob)
		w.loseAll()
		gone := w.dial(w.url("/subws/", signed(bob), "mid", old.ID.String()))
		if _, err := w.read(gone); err != nil {
			t.Fatal(err)
		}
		if got, _ := callsOf(t, w.metrics, portal.Default, callGapNote); got != w.value("gap_notes_total", "") || got == 0 {
			t.Errorf("%v calls by notes of a gap, %v notes", got, w.value("gap_notes_total", ""))
		}
	})
}

// TestPortalCallsOfNobody: a client that names no portal is counted, too.
func TestPortalCallsOfNobody(t *testing.T) {
	inWorld(t, func(s *settings) {
		s.Signer = nil
		s.Others = []*portal.Portal{{ClientID: clientA, Signer: signer}}
	}, func(t *testing.T, w *world) {
		<-w.get(w.url("/sub/", signed(alice), "clientId", clientB))
		<-w.get(w.url("/sub/", "wrong", "clientId", clientA))
		for _, portal := range []string{unknownPortal, clientA} {
			if got, _ := callsOf(t, w.metrics, portal, callRefused); got != 1 {
				t.Errorf("%v calls to the portal %s, want 1", got, portal)
			}
		}
	})
}

// TestPortalCallsAreBounded: whatever clients name, there are at most so many series, and the
// portals that have had no call for an hour make room.
func TestPortalCallsAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := newPortalCalls(registry)
	now := time.Now()
	for i := range 3 * namedPortals {
		name := fmt.Sprint("portal-", i)
		c.expect(name)
		c.total.WithLabelValues(c.label(name, now), callRefused).Inc()
	}
	if got, _ := callsOf(t, registry, otherPortals, callRefused); got != 2*namedPortals {
		t.Errorf("%v calls of other portals, want %d", got, 2*namedPortals)
	}
	late := now.Add(namedFor)
	for i := range namedPortals - 1 {
		c.label(fmt.Sprint("portal-", i), late)
	}
	last := fmt.Sprint("portal-", namedPortals-1)
	if got := c.label("new", late); got != "new" {
		t.Errorf("a new portal is counted as %s, although one had no call for an hour", got)
	}
	if _, found := callsOf(t, registry, last, callRefused); found {
		t.Errorf("%s is still there", last)
	}
	if got := c.label(last, late); got != otherPortals {
		t.Errorf("%s is counted as %s", last, got)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if got, most := len(families[0].GetMetric()), 3*(namedPortals+2); got > most {
		t.Errorf("%d series, want at most %d", got, most)
	}
}
