package server

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/wire/pb"
)

// secrets has everything that must not be shown, by its name.
type secrets map[string]string

// tooMany is how many characters of a secret in a row must not appear. An id may be logged by its
// first six.
const tooMany = 8

// shown returns which of the secrets a text shows a part of, and where.
func (s secrets) shown(text string) (found []string) {
	for what, secret := range s {
		for i := 0; i+tooMany <= len(secret); i++ {
			if at := strings.Index(text, secret[i:i+tooMany]); at >= 0 {
				found = append(found, fmt.Sprintf("%s: …%q…", what, text[max(0, at-200):min(len(text), at+100)]))
				break
			}
		}
	}
	return found
}

const (
	clientID    = "fcda45d0859442735f07b8bb5825ded1"
	sharedKey   = "SharedKey-0987654321"
	personalKey = "PersonalKey-12345678"
	licence     = "781e5e245d69b566979b86e28d23f2c7"
	hostID      = "HostIdOfThePersonalPortal0123456"
)

// refusing returns the file of two portals with low limits, with more text at its end.
func refusing(more string) string {
	return fmt.Sprintf(`{"portals": [{"keys": [%q], "host_id": %q, "limits": {"payload": 4000, "connections": 1}},
		{"client_id": %q, "keys": [%q], "licence": %q, "limits": {"rate": 1}}%s]}`, personalKey, hostID, clientID, sharedKey, licence, more)
}

// batch encodes one message to a receiver.
func batch(id channel.ID, signature []byte, private bool, body string) string {
	raw, _ := id.Bytes()
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_IncomingMessages{
		IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{{
			Receivers: []*pb.Receiver{{Id: raw[:], Signature: signature, IsPrivate: private}}, Body: []byte(body), Expiry: 60}}}}}}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// serverStats encodes a request that clients may not make.
func serverStats() string {
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_ServerStats{ServerStats: new(pb.ServerStatsRequest)}}}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestNothingSecretIsTold makes both programs refuse requests for every reason and fail in every
// way that Redis allows. Then it searches their logs at debug level, their metrics and their
// readiness for secrets.
func TestNothingSecretIsTold(t *testing.T) {
	w := start(t, refusing(""), "PUSHGATE_CHANNEL_WRITE_WINDOW=1h", "PUSHGATE_POLL_TIMEOUT=100ms", "PUSHGATE_ORIGINS=portal.example.com", "PUSHGATE_HOSTS=x", "PUSHGATE_MAX_CHANNELS=2",
		"PUSHGATE_RECENT_BYTES=0") // so that damaged records are read from Redis
	s := testkit.Signer(personalKey)
	private, public, foreign, closed := madeUp(1), madeUp(2), madeUp(3), madeUp(4)
	ref := s.Sign(channel.Ref{Private: private, Public: public})
	list := ref.String()
	now := time.Now()
	token := s.SignToken(sign.Token{User: 7, Channels: []channel.ID{private}, Expires: now.Add(time.Hour)}, hostID, now)
	expired := s.SignToken(sign.Token{User: 7, Expires: now.Add(-time.Hour)}, hostID, now.Add(-2*time.Hour))
	const body = `{"module_id":"im","command":"secretive","params":{"text":"what-alice-writes-to-bob"}}`
	right := s.SignPublic(public)
	hidden := secrets{
		"the key": personalKey, "a key of many portals": sharedKey, "a key of a file that is broken": "BrokenFileKey-5555", "a licence": licence,
		"the password of Redis": password, "a private id": private.String(), "a public id": public.String(), "another's id": foreign.String(),
		"an id in binary": raw(private), "the signature of a list": ref.Signature, "a token": token[strings.LastIndex(token, "."):],
		"an expired token": expired[strings.LastIndex(expired, "."):], "the signature of a body": s.SignBody([]byte(body)),
		"the right to write, in binary": string(right), "the right to write": hex.EncodeToString(right), "a message": "what-alice-writes-to-bob",
	}

	outside := []string{"X-Forwarded-For", "192.0.2.1"}
	post := func(path, body string, header ...string) {
		t.Helper()
		if status, text := w.do("POST", w.publisher.addr, path, body, header...); status == 404 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	everything := func() {
		// The publisher.
		post("/bitrix/pub/?CHANNEL_ID="+private.String(), body)
		post("/bitrix/pub/?CHANNEL_ID="+list, body)
		post("/bitrix/pub/?CHANNEL_ID="+list, body, outside...)
		post("/bitrix/pub/?CHANNEL_ID="+list+"&signature="+s.SignBody([]byte(body)), body+" ", outside...)
		post("/bitrix/pub/?CHANNEL_ID="+list+"&timestamp=1&signature="+s.SignPost(sign.Post{Time: 1, Channels: list, Body: []byte(body)}), body, outside...)
		post("/bitrix/pub/", body)
		post("/bitrix/pub/?CHANNEL_ID="+list+"x", body)
		post("/bitrix/pub/?CHANNEL_ID="+strings.Repeat(private.String()+"/", 1100)+private.String(), body)
		post("/bitrix/pub/?CHANNEL_ID="+list, "")
		post("/bitrix/pub/?CHANNEL_ID="+list, body+"#!NGINXNMS!#")
		post("/bitrix/pub/?CHANNEL_ID="+closed.String(), body)
		post("/bitrix/pub/?CHANNEL_ID="+list, strings.Repeat(body, 100))
		for range 3 { // more than the portal's limit
			post("/bitrix/pub/?clientId="+clientID+"&CHANNEL_ID="+private.String()+"&signature="+testkit.Signer(sharedKey).SignBody([]byte(body)), body)
		}
		post("/bitrix/pub/?clientId="+strings.Repeat("0", 32)+"&CHANNEL_ID="+list, body)
		post("/bitrix/pub/?binaryMode=true", batch(private, nil, true, body))
		post("/bitrix/pub/?binaryMode=true", body)
		post("/bitrix/pub/?binaryMode=true&signature=00", batch(private, nil, true, body), outside...)
		for _, question := range []string{"CHANNEL_ID=" + list, "CHANNEL_ID=" + list + "&binaryMode=true", "CHANNEL_ID=" + list + "x",
			"CHANNEL_ID=" + strings.Repeat(private.String()+"/", 2) + foreign.String()} {
			w.do("GET", w.publisher.addr, "/bitrix/pub/?"+question, "")
			w.do("GET", w.publisher.addr, "/bitrix/pub/?"+question, "", outside...)
		}
		for _, batch := range []string{body, batch(public, right, false, body), batch(public, nil, false, body), batch(private, right, true, body),
			batch(public, right, false, strings.Replace(body, "im", "pull", 1)), batch(foreign, right, false, body), serverStats()} {
			post("/bitrix/rest/?CHANNEL_ID="+list, batch)
			post("/bitrix/rest/?CHANNEL_ID="+private.String(), batch)
		}
		call := `{"jsonrpc":"2.0","method":"publish","params":{"channelList":["` + private.String() + `"],"body":` + body + `}}`
		for _, call := range []string{call, "[" + call, strings.Replace(call, private.String(), list+"x", 1), strings.Replace(call, "publish", private.String(), 1),
			`{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[7]}}`, `{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"7":1}}`} {
			post("/bitrix/api/?hostId="+hostID+"&signature="+s.SignBody([]byte(call)), call)
			post("/bitrix/api/?hostId="+hostID+"&signature="+ref.Signature, call)
			post("/bitrix/api/?hostId="+private.String(), call)
		}
		form := url.Values{"verificationQuery": {"BX_LICENCE=" + clientID + "&BX_TYPE=CP&BX_HASH=" + licence}}.Encode()
		post("/register-client/", form, "Content-Type", "application/x-www-form-urlencoded")
		w.do("GET", w.publisher.addr, "/server-stat/?"+list, "")
		w.do("GET", w.publisher.addr, "/server-stat/?"+list, "", outside...)
		w.do("GET", w.publisher.addr, "/"+list, "")
		post("/bitrix/pub/?CHANNEL_ID="+list, body, "Origin", "https://"+private.String()+".test")
		w.raw(w.publisher, "GET /server-stat/?CHANNEL_ID="+list+" HTTP/1.1\r\nHost: "+private.String()+".test\r\n\r\n")
		w.raw(w.publisher, "POST /bitrix/pub/?CHANNEL_ID="+list+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"+body)
		w.raw(w.publisher, "POST /bitrix/pub/?CHANNEL_ID="+list+"\x00 HTTP/1.1\r\nHost: x\r\n\r\n")

		// The edge, by every transport and dialect.
		for _, query := range []string{"", "CHANNEL_ID=" + private.String(), "CHANNEL_ID=" + list + "x", "CHANNEL_ID=" + list + ";%zz", "token=" + expired, "token=" + token + "x",
			"clientId=" + strings.Repeat("0", 32) + "&CHANNEL_ID=" + list, "clientId=" + clientID + "&CHANNEL_ID=" + list, "CHANNEL_ID=" + list, "CHANNEL_ID=" + list + "&mid=" + strings.Repeat("0", 26), "token=" + token} {
			w.do("GET", w.edge.addr, "/bitrix/sub/?"+query, "")
			// The other queries open a stream, which does not end.
			if strings.Contains(query, "=") && !strings.HasPrefix(query, "CHANNEL_ID="+list) && query != "token="+token {
				w.do("GET", w.edge.addr, "/bitrix/sse/?"+query, "")
				if conn, err := w.dial(query); err == nil {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					conn.Read(ctx) // a repeated refusal is answered late
					cancel()
					conn.CloseNow()
				}
			}
		}
		w.do("GET", w.edge.addr, "/bitrix/sub/?CHANNEL_ID="+list, "", "Origin", "https://evil.test")
		if conn, err := w.dial("CHANNEL_ID="+list, "Origin", "https://evil.test"); err == nil {
			conn.CloseNow()
		}
		w.raw(w.edge, "GET /bitrix/sub/?CHANNEL_ID="+list+" HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat(list, 1000)+"\r\n\r\n")
		for _, frame := range []string{body, strings.Repeat(body, 100), batch(public, right, false, body), batch(public, nil, false, body), batch(foreign, right, true, body),
			batch(public, right, false, strings.Replace(body, "im", "pull", 1)), serverStats()} {
			w.say("binaryMode=true&CHANNEL_ID="+list, websocket.MessageBinary, frame)
		}
		for _, call := range []string{"x" + token, `{"jsonrpc":"2.0","id":1,"method":"` + private.String() + `"}`,
			`{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channelList":["` + list + `"],"userList":[7],"body":` + body + `}}`,
			`{"jsonrpc":"2.0","id":1,"method":"getUsersLastSeen","params":{"userList":[7]}}`} {
			w.say("jsonRpc=true&token="+token, websocket.MessageText, call)
		}
	}

	w.must(w.rdb.Set(t.Context(), "pg:{default}:b:"+closed.String(), "1", 0).Err())
	everything()
	exceed(w, list)
	putOut(w, s, list)
	w.damage(private, list, body)
	w.reloads(refusing(`, {"keys": ["BrokenFileKey-5555", "short"]}`), refusing(`, {"client_id": "BrokenFileKey-5555", "keys": "BrokenFileKey-5555"`), refusing(""))

	w.redis.SetError("ERR it fails, as " + strings.Repeat("x", 10))
	everything()
	w.redis.SetError("")
	w.redis.RequireAuth("another password")
	w.redis.Close()
	everything()
	testkit.Eventually(w.t, "logged that the subscription is lost", func() bool { return strings.Contains(w.log.String(), "subscription to the log lost") })

	text := w.log.String()
	for _, p := range []program{w.edge, w.publisher} {
		text += w.get(p.admin, "/readyz") + w.get(p.admin, "/metrics")
	}
	for _, told := range hidden.shown(text) {
		t.Error(told)
	}
	w.thorough(text)
}

// madeUp returns a valid id of equal bytes.
func madeUp(n byte) channel.ID {
	sum := md5.Sum([]byte{n})
	return channel.FromBytes(sum)
}

// raw returns the bytes of an id.
func raw(id channel.ID) string {
	b, _ := id.Bytes()
	return string(b[:])
}

// exceed makes one connection of a client more than allowed, so that the first one is closed.
func exceed(w *world, list string) {
	first, err := w.dial("CHANNEL_ID=" + list)
	w.must(err)
	defer first.CloseNow()
	second, err := w.dial("CHANNEL_ID=" + list)
	w.must(err)
	defer second.CloseNow()
	testkit.Eventually(w.t, "one too many", func() bool { return w.edge.metric(w.t, "pushgate_session_ends_total", "too_many_connections") > 0 })
}

// putOut puts out a client that is connected, and lets it in again.
func putOut(w *world, s *sign.Signer, list string) {
	conn, err := w.dial("CHANNEL_ID=" + list)
	w.must(err)
	defer conn.CloseNow()
	for _, method := range []string{"revokeAccess", "restoreAccess"} {
		call := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"channelId":"` + list + `"}}`
		if status, text := w.do("POST", w.publisher.addr, "/bitrix/api/?hostId="+hostID+"&signature="+s.SignBody([]byte(call)), call); status != 200 || !strings.Contains(text, "result") {
			w.t.Errorf("%s: %d %s", method, status, text)
		}
		if method == "revokeAccess" {
			w.do("POST", w.publisher.addr, "/bitrix/rest/?CHANNEL_ID="+list, "[]")
		}
		testkit.Eventually(w.t, "put out", func() bool { return w.edge.metric(w.t, "pushgate_session_ends_total", "revoked") > 0 })
	}
}

// damage publishes unreadable records with a message and its channel, both as notifications and in
// the log.
func (w *world) damage(id channel.ID, list, body string) {
	w.t.Helper()
	keys, err := w.rdb.Keys(w.t.Context(), "pg:{default}:m:*").Result()
	w.must(err)
	for _, key := range keys {
		w.must(w.rdb.Set(w.t.Context(), key, id.String()+list+body, time.Hour).Err())
	}
	w.must(w.rdb.Publish(w.t.Context(), "pg:{default}:notify", strings.Repeat("1", 26)+id.String()+body).Err())
	w.do("GET", w.edge.addr, "/bitrix/sub/?mid="+strings.Repeat("0", 26)+"&CHANNEL_ID="+list, "")
	testkit.Eventually(w.t, "damage found", func() bool { return strings.Contains(w.log.String(), "record not read") })
}

// reloads makes both programs read files of portals, one after the other.
func (w *world) reloads(files ...string) {
	w.t.Helper()
	for i, file := range files {
		w.write(file)
		w.must(syscall.Kill(os.Getpid(), syscall.SIGHUP))
		for _, p := range []program{w.edge, w.publisher} {
			testkit.Eventually(w.t, "read "+strconv.Itoa(i), func() bool { return p.metric(w.t, "pushgate_reloads_total", "") == float64(i+1) })
		}
	}
}

// thorough checks that the test provoked every refusal and every log line that it should.
func (w *world) thorough(text string) {
	w.t.Helper()
	for _, line := range []string{"client's batch failed", "client's call failed", "record not read", "subscription to the log lost", "reload failed",
		"writing presence failed", "the log in Redis does not answer", "subscribed to the log"} {
		if !strings.Contains(text, line) {
			w.t.Errorf("not logged: %s", line)
		}
	}
	apart := map[string][]string{
		"pushgate_publish_refused_total": {"slow_upload", "unproven", "too_many_messages", "invalid_channel", "no_public_id", "wrong_command"},
		"pushgate_session_ends_total": {"client_closed", "connection_lost", "ping_timeout", "write_timeout", "websocket_protocol_error", "leaving", "token_expired",
			"portal_removed", "rebalanced", "handed_over", "message_timeout", "message_no_room", "panic", "command_no_public_id", "command_too_many_messages", "command_no_channels", "command_too_many_channels"},
	}
	for line := range strings.Lines(text) {
		for name, known := range apart {
			rest, ok := strings.CutPrefix(line, name+`{reason="`)
			reason, value, _ := strings.Cut(rest, `"} `)
			if ok && strings.TrimSpace(value) == "0" && !slices.Contains(known, reason) {
				w.t.Errorf("no refusal for %s %s", name, reason)
			}
		}
	}
}
