package edge

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLastSeenIsNoAmplifier: a frame has a hundred requests for when users were last seen. Only a
// few of them reach the log, for each connection and for all connections of a portal. The others
// are refused and counted, and the connection stays.
func TestLastSeenIsNoAmplifier(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		const call = `{"jsonrpc":"2.0","id":1,"method":"getUsersLastSeen","params":{"userList":[5]}}`
		frame := "[" + call + strings.Repeat(","+call, 99) + "]"
		answered := func(reply string) int { return strings.Count(reply, `"result":`) }
		conn := w.dial(rpcURL("/subws/", token(5)))
		for _, want := range []int{10, 5, 5} {
			reply := w.ask(conn, frame)
			refused := strings.Count(reply, `"error":{"code":-32603,"message":"Internal error","data":"4016: Request exceeded the maximum number of messages."}`)
			if answered(reply) != want || refused != 100-want {
				t.Errorf("%d questions answered and %d refused of 100, want %d answered", answered(reply), refused, want)
			}
			time.Sleep(time.Second)
		}
		if n := w.value("client_commands_total", "busy"); n != 280 {
			t.Errorf("%v refusals counted", n)
		}
		all := 0
		for user := range int64(60) {
			all += answered(w.ask(w.dial(rpcURL("/subws/", token(user+100))), frame))
		}
		if all < 400 || all > 450 {
			t.Errorf("%d questions of 60 connections answered", all)
		}
	})
}

// TestFailedCallsLog: failed calls are logged at intervals, with their number, and not each of
// them.
func TestFailedCallsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		tenant := &tenant{name: "default", edge: &Edge{logger: slog.New(slog.NewTextHandler(&text, nil))}}
		for range 30 {
			tenant.commandFailed(&tenant.callLog, "not carried out", errors.New("away"), "method", "x")
			time.Sleep(time.Second)
		}
		if got := text.String(); strings.Count(got, "\n") != 3 || strings.Count(got, "failures=1 ") != 1 || strings.Count(got, "failures=10 ") != 2 {
			t.Error(got)
		}
	})
}
