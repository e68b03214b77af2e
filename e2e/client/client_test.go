// Package client tests a whole installation with the portal's real browser client, the unchanged
// package @bitrix24/b24jssdk, in a real browser.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pushgate/e2e"
	"pushgate/internal/channel"
)

// bin is where the programs are that TestMain built.
var bin string

func TestMain(m *testing.M) {
	if os.Getenv("E2E_DEPLOYMENTS") != "" { // TestDeployments, inside: the programs have been built
		bin = os.Getenv("E2E_BIN")
		os.Exit(m.Run())
	}
	// The scenarios mostly wait: for a client's own delays.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(e2e.Main(m, func(dir string) { bin = dir }))
}

// dialect is the wire form in which a version of the push server talks to pages.
type dialect struct {
	name    string
	version int
	first   []string // names in the query of a page's first connection
	resumed []string // … of one that goes on
}

var dialects = []dialect{
	{"text", 3, []string{"CHANNEL_ID", "revision"}, []string{"CHANNEL_ID", "mid", "tag", "time", "revision"}},
	{"protobuf", 4, []string{"CHANNEL_ID", "binaryMode", "revision"}, []string{"CHANNEL_ID", "binaryMode", "mid", "revision"}},
	{"JSON-RPC", 5, []string{"token", "jsonRpc", "revision"}, []string{"token", "jsonRpc", "mid", "revision"}},
}

// transport is a way to connect that the administrator allows for pages.
type transport struct {
	name      string
	webSocket bool
}

var transports = []transport{{"WebSocket", true}, {"long poll", false}}

// world is one installation and one portal, in which scenarios happen.
type world struct {
	*testing.T
	dialect
	transport
	chromium context.Context
	push     *e2e.World
	portal   *portal
}

// scenario is something that happens to pages. Its name says what must follow.
type scenario struct {
	name string
	run  func(*world)
	env  []string // of the programs
}

// common are the scenarios of every transport.
var common = []scenario{
	{"receives the messages of its channels in order", hears, nil},
	{"goes on after its edge was killed", killed, nil},
	{"moves on when its edge leaves", drained, []string{"PUSHGATE_DRAIN=1s"}},
	{"returns 15 s after SERVER_RESTART", serverRestart, nil},
	{"goes on after a reload", reloaded, nil},
	{"asks the portal once after config_expire", configExpire, nil},
}

// signed are the scenarios of pages that send ids with a signature, before version 5.
var signed = []scenario{
	{"takes a new shared channel from its message", channelExpire, nil},
}

// publishing are the scenarios of pages of version 4, which may send messages to each other.
var publishing = []scenario{
	{"tells another page", tells, nil},
	{"does not speak for the portal", impostor, nil},
}

// ofTransport are the scenarios of one transport only.
var ofTransport = map[string][]scenario{
	"WebSocket": {{"asks the portal once after 4010", wrongKey, nil}},
	"long poll": {{"keeps its place over polls without news", emptyPolls, []string{"PUSHGATE_POLL_TIMEOUT=300ms"}}},
}

func TestRealClient(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	requireSDK(t)
	chromium := startChromium(t)
	for _, d := range dialects {
		for _, tr := range transports {
			scenarios := slices.Concat(common, ofTransport[tr.name])
			if d.version < 5 {
				scenarios = append(scenarios, signed...)
			} else {
				scenarios = append(append(scenarios, tokens...), tokensOfTransport[tr.name]...)
			}
			if d.version == 4 {
				scenarios = append(scenarios, publishing...)
			}
			for _, s := range scenarios {
				t.Run(fmt.Sprintf("%s/%s/%s", d.name, tr.name, s.name), func(t *testing.T) {
					t.Parallel()
					push := e2e.Start(t, e2e.Options{Bin: bin, Edges: 2, Publishers: 1, Env: []string{"PUSHGATE_HOST_ID=" + hostID}, EdgeEnv: s.env})
					push.Portals[0].HostID, push.Portals[0].Repeats = hostID, true
					s.run(&world{t, d, tr, chromium, push, newPortal(t, push.Public, d.version, tr.webSocket)})
				})
			}
		}
	}
}

// open opens the page of a user, which must ask for exactly one configuration.
func (w *world) open(user int) *tab {
	w.Helper()
	b := w.portal.open(w.T, w.chromium, user)
	w.configs(user, 1)
	return b
}

// configs fails the test if the pages of a user have not asked for so many configurations.
func (w *world) configs(user, want int) {
	w.Helper()
	if got := w.portal.configs(w.T, user); len(got) != want {
		w.Errorf("user %d asked for a configuration %d times, want %d", user, len(got), want)
	}
}

// publish posts a body as the portal does.
func (w *world) publish(body string, channels ...channel.ID) {
	w.Helper()
	if w.version >= 5 {
		w.call("publish", addressed(object{"body": json.RawMessage(body)}, channels...))
		return
	}
	if _, err := w.push.Post(w.Context(), body, true, channels...); err != nil {
		w.Fatal(err)
	}
}

// start starts an edge again.
func (w *world) start(edge *e2e.Process) {
	w.Helper()
	if err := edge.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// found waits until nginx uses an edge again after it was down.
func (w *world) found(edge *e2e.Process) {
	w.Helper()
	err := edge.Await(w.Context(), func(ctx context.Context) error {
		if _, _, err := w.push.Do(ctx, "GET", "http://"+w.push.Public+"/bitrix/sub/", ""); err != nil {
			return err
		}
		refused, err := edge.Metric(ctx, "pushgate_subscribe_refused_total")
		if err == nil && refused == 0 {
			err = errors.New("nginx does not use it")
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// say publishes the messages from first to last to channels.
func (w *world) say(first, last int, channels ...channel.ID) {
	w.Helper()
	for n := first; n <= last; n++ {
		w.publish(say(n), channels...)
	}
}
