package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// TestClientsAreHeldToTheLimitsOfTheirPortal: messages that clients publish over WebSocket count
// like posts of the portal, in both dialects. Those beyond the limit are refused and counted, and
// the connection stays.
func TestClientsAreHeldToTheLimitsOfTheirPortal(t *testing.T) {
	portal := fmt.Sprintf(`{"portals": [{"keys": [%q], "limits": {"rate": 1}}]}`, personalKey)
	w := start(t, portal)
	s := testkit.Signer(personalKey)
	private, public := madeUp(1), madeUp(2)
	list := "CHANNEL_ID=" + url.QueryEscape(s.Sign(channel.Ref{Private: private, Public: public}).String())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy := func() float64 { return w.edge.metric(t, "pushgate_client_commands_total", "busy") }

	calls, err := w.dial(list + "&jsonRpc=true")
	w.must(err)
	defer calls.CloseNow()
	right := public.String() + "." + fmt.Sprintf("%x", s.SignPublic(public))
	call := `{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channelList":["` + right + `"],"expiry":0,"body":{"module_id":"im","command":"x","params":{}}}}`
	w.must(calls.Write(ctx, websocket.MessageText, []byte("["+call+strings.Repeat(","+call, 99)+"]")))
	for {
		frame, err := w.read(calls)
		w.must(err)
		var replies []struct {
			Error *struct {
				Code int    `json:"code"`
				Data string `json:"data"`
			} `json:"error"`
		}
		if json.Unmarshal([]byte(frame), &replies) != nil || len(replies) != 100 {
			continue // a message, or a heartbeat
		}
		refused := 0
		for _, r := range replies {
			if r.Error == nil {
				continue
			}
			if refused++; r.Error.Code != -32603 || r.Error.Data != "4016: Request exceeded the maximum number of messages." {
				t.Errorf("refused with %+v", r.Error)
			}
		}
		if refused == 0 || refused == 100 || busy() != float64(refused) {
			t.Errorf("%d of 100 calls refused, %v counted", refused, busy())
		}
		break
	}
	w.must(calls.Write(ctx, websocket.MessageText, []byte(`{"jsonrpc":"2.0","id":"still here","method":"ping","params":{}}`)))
	for frame := ""; !strings.Contains(frame, "still here"); {
		frame, err = w.read(calls)
		w.must(err)
	}

	batches, err := w.dial(list + "&binaryMode=true")
	w.must(err)
	defer batches.CloseNow()
	before := busy()
	for range 50 {
		w.must(batches.Write(ctx, websocket.MessageBinary, []byte(batch(public, s.SignPublic(public), false, `{"module_id":"im","command":"x"}`))))
	}
	testkit.Eventually(t, "refused", func() bool { return busy() > before })
	if n := w.edge.metric(t, "pushgate_connections", "websocket"); n != 2 {
		t.Errorf("%v connections are left of 2", n)
	}
}

// TestUnprovenBodiesHaveTheLimitOfTheEnvironment: a body that stops takes all the memory that there
// is for bodies without a checked signature, and the next one is refused.
func TestUnprovenBodiesHaveTheLimitOfTheEnvironment(t *testing.T) {
	w := start(t, onePortal(personalKey), "PUSHGATE_MAX_UNPROVEN_BYTES=1048576")
	path := "/pub/?CHANNEL_ID=" + madeUp(1).String() + "&signature=" + strings.Repeat("0", 40)
	const size = 1 << 20
	conn, err := net.Dial("tcp", w.publisher.addr)
	w.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Real-Ip: 192.0.2.1\r\nContent-Length: %d\r\n\r\n%s", path, size, strings.Repeat("x", size-1))
	w.must(err)
	testkit.Eventually(t, "the body is held", func() bool { return w.publisher.metric(t, "pushgate_unproven_bytes", "") > size/2 })
	request, err := http.NewRequest("POST", "http://"+w.publisher.addr+path, strings.NewReader(strings.Repeat("x", size/2)))
	w.must(err)
	request.Header.Set("X-Real-Ip", "192.0.2.1")
	// The answer may get lost: the body is not read.
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
	}
	testkit.Eventually(t, "the next one is refused", func() bool { return w.publisher.metric(t, "pushgate_publish_refused_total", "unproven") == 1 })
}
