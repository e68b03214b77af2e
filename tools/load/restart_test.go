//go:build linux

package load

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit/faulty"
)

// Everybody who is cut off comes back, and the report says how many they were and how long it took.
func TestRestartCountsWhoComesBack(t *testing.T) {
	o := startPushgate(t)
	proxy := faulty.Start(t, strings.TrimPrefix(o.Sub[0], "http://"))
	o.Sub = []string{"http://" + proxy.Addr()}
	o.Scenario, o.Connections, o.Rate, o.Duration = "restart", 40, 100, 3*time.Second
	const away = 400 * time.Millisecond
	time.AfterFunc(1500*time.Millisecond, func() {
		proxy.Refuse(true)
		proxy.Cut()
		time.AfterFunc(away, func() { proxy.Refuse(false) })
	})
	r := carryOut(t, o)
	if r.Broken < 30 || r.NotTaken == 0 || r.Rejected != 0 {
		t.Errorf("%d connections broken, %d not taken, %d rejected", r.Broken, r.NotTaken, r.Rejected)
	}
	if r.Returns < 40 || r.LongestOut < away.Seconds()/2 || r.LongestOut > 10 {
		t.Errorf("%d returns, the longest absence %v s", r.Returns, r.LongestOut)
	}
}

// A post that the server has accepted and did not deliver is lost, in this scenario too.
func TestRestartCountsWhatIsLost(t *testing.T) {
	o := startPushgate(t)
	proxy := faulty.Start(t, strings.TrimPrefix(o.Sub[0], "http://"))
	o.Sub = []string{"http://" + proxy.Addr()}
	o.Scenario, o.Connections, o.Rate, o.Duration, o.Patience = "restart", 10, 100, time.Second, time.Second
	// New connections work, so that who has just left comes back.
	time.AfterFunc(500*time.Millisecond, proxy.Strand)
	r, err := Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Lost == 0 || r.LostPolling == 0 || r.LostPolling >= r.Lost {
		t.Errorf("%d lost, %d of them by who polls", r.Lost, r.LostPolling)
	}
}
