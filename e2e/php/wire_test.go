package php

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// listener takes one request, sends its bytes to the test, and answers it.
type listener struct {
	t        *testing.T
	tcp      net.Listener
	requests chan string
}

// listen answers one request with a status and a body. With status 0 it does not answer while the
// portal waits.
func listen(t *testing.T, status int, body string) *listener {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{t, tcp, make(chan string, 1)}
	t.Cleanup(func() { tcp.Close() })
	go l.serve(status, body) // l.request waits for it
	return l
}

func (l *listener) serve(status int, body string) {
	defer close(l.requests)
	conn, err := l.tcp.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	var request []byte
	buffer := make([]byte, 64<<10)
	for !complete(request) {
		n, err := conn.Read(buffer)
		if err != nil {
			break
		}
		request = append(request, buffer[:n]...)
	}
	if status == 0 {
		io.Copy(io.Discard, conn)
	} else {
		fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	}
	l.requests <- string(request)
}

// complete reports whether a request has all the bytes that it announces.
func complete(request []byte) bool {
	head, body, ok := strings.Cut(string(request), "\r\n\r\n")
	length := 0
	if _, value, ok := strings.Cut(head, "Content-Length: "); ok {
		fmt.Sscan(value, &length)
	}
	return ok && len(body) == length
}

func (l *listener) url(path string) string { return "http://" + l.tcp.Addr().String() + path }

// request returns the lines of the request's head, and its body.
func (l *listener) request() (head []string, body string) {
	l.t.Helper()
	request := <-l.requests
	text, body, _ := strings.Cut(request, "\r\n\r\n")
	return strings.Split(text, "\r\n"), body
}

// wire is the part of the vectors about the portal's requests.
type wire struct {
	Protobuf struct {
		Cases []struct{ Name, Hex string }
	}
	RequestSignatures []struct {
		Key, Signature string
		BodyHex        string `json:"body_hex"`
	} `json:"request_signatures"`
	JWT []struct {
		Key, Token string
		Claims     json.RawMessage
	}
}

// body returns the message of a case by its name.
func (w wire) body(t *testing.T, name string) string {
	t.Helper()
	for _, c := range w.Protobuf.Cases {
		if c.Name == name {
			return string(unhex(t, c.Hex))
		}
	}
	t.Fatalf("vectors.json: no %q", name)
	return ""
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func loadWire(t *testing.T) (w wire) {
	t.Helper()
	raw, err := os.ReadFile("../../internal/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

var twoChannels = []string{"00112233445566778899aabbccddeeff", "f0e5d42369441879d7e176c96cbbff2d"}

// privet is the message of the vectors, in their order of keys.
const privet = `{"module_id":"im","command":"message","params":{"text":"привет"},"extra":{"server_time_unix":1700000000.5}}`

// TestSender compares the requests of this package's PHP with the portal's, byte for byte: requests
// with other bytes would prove nothing. Bodies are compared with the vectors, if they have one.
func TestSender(t *testing.T) {
	vectors := loadWire(t)
	signed := vectors.RequestSignatures[0]
	publish := vectors.body(t, "portal publishes one message to two private channels")
	stats := vectors.body(t, "portal asks channel stats for two private channels")
	online := vectors.body(t, "channel stats response")
	form := "Content-Type: application/x-www-form-urlencoded"
	// Characters with a meaning in HTML or JavaScript are escaped.
	call := `{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[1,2],"text":"\u003Cb\u003E \u0026 \u0027 \u0022 a\/b привет"}}`
	batch := `[{"jsonrpc":"2.0","method":"publish","params":{"body":{"module_id":"im"},"channelList":[],"user_params":[]}}]`
	for _, c := range []struct {
		name   string
		task   object
		answer string
		target string   // of the request
		head   []string // what the head has beside that of every request
		body   string
		fault  func(result) bool
	}{
		{
			name:   "text",
			task:   object{"do": "text", "channels": twoChannels, "expiry": 60, "message": json.RawMessage(`{"a":"б\/\u2028<\"'"}`)},
			target: "POST /bitrix/pub/?CHANNEL_ID=" + strings.Join(twoChannels, "/"),
			head:   []string{"Message-Expiry: 60", form},
			body:   `{"a":"б\/\u2028<\"'"}`,
		}, {
			name:   "text statistics",
			task:   object{"do": "text statistics", "channels": twoChannels},
			answer: `{ "infos": [{"channel":"` + twoChannels[1] + `","subscribers":1}]}`,
			target: "GET /bitrix/pub/?CHANNEL_ID=" + strings.Join(twoChannels, "/"),
			body:   strings.Join(twoChannels, "/"),
			fault:  func(r result) bool { return len(r.Online) != 1 || r.Online[0] != twoChannels[1] },
		}, {
			name: "protobuf",
			task: object{"do": "protobuf", "hostname": "portal.example.com",
				"messages": []object{{"channels": twoChannels, "message": json.RawMessage(privet)}}},
			target: "POST /bitrix/pub/?binaryMode=true&hostname=portal.example.com",
			head:   []string{form},
			body:   publish,
		}, {
			name: "protobuf, shared server",
			task: object{"do": "protobuf", "hostname": "portal.example.com", "clientId": "fcda45d0859442735f07b8bb5825ded1", "key": signed.Key,
				"messages": []object{{"channels": twoChannels, "message": json.RawMessage(privet)}}},
			target: "POST /bitrix/pub/?clientId=fcda45d0859442735f07b8bb5825ded1&binaryMode=true&hostname=portal.example.com&signature=" + signed.Signature,
			head:   []string{form},
			body:   string(unhex(t, signed.BodyHex)),
		}, {
			name:   "protobuf statistics",
			task:   object{"do": "protobuf statistics", "hostname": "portal.example.com", "channels": twoChannels},
			answer: online,
			target: "POST /bitrix/pub/?binaryMode=true&hostname=portal.example.com",
			head:   []string{form},
			body:   stats,
			fault:  func(r result) bool { return len(r.Online) != 1 || r.Online[0] != twoChannels[0] },
		}, {
			name: "JSON-RPC batch",
			task: object{"do": "json-rpc", "hostId": "hOsTiD", "key": "key", "hostname": "portal.example.com",
				"requests": []json.RawMessage{json.RawMessage(`{"body":{"module_id":"im"},"channelList":[],"user_params":{}}`)}},
			answer: `[]`,
			target: "POST /bitrix/pub/?hostId=hOsTiD&signature=" + signature("key", batch) + "&hostname=portal.example.com",
			head:   []string{form},
			body:   batch,
		}, {
			name: "JSON-RPC call",
			task: object{"do": "json-rpc call", "hostId": "hOsTiD", "key": "key", "hostname": "portal.example.com", "clientId": "c", "method": "getUsersLastSeen",
				"params": json.RawMessage(`{"userList":[1,2],"text":"<b> & ' \" a/b привет"}`)},
			answer: `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":null}`,
			target: "POST /bitrix/pub/?clientId=c&hostId=hOsTiD&signature=" + signature("key", call) + "&hostname=portal.example.com",
			head:   []string{form},
			body:   call,
			fault:  func(r result) bool { return r.Fault != "Method not found" },
		},
	} {
		l := listen(t, 200, c.answer)
		c.task["url"] = l.url("/bitrix/pub/")
		r := run[result](t, c.task)
		if r.Status != 200 || r.Error != "" || c.fault != nil && c.fault(r) {
			t.Errorf("%s: the portal had %+v", c.name, r)
		}
		head, body := l.request()
		want := append([]string{c.target + " HTTP/1.1", "Host: 127.0.0.1", "Connection: close", "Accept: */*", "Accept-Language: en"}, c.head...)
		want = append(want, fmt.Sprint("Content-Length: ", len(c.body)))
		if got := strings.Join(head, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("%s: the head is\n%s\nwant\n%s", c.name, got, strings.Join(want, "\n"))
		}
		if body != c.body {
			t.Errorf("%s: the body is %q, want %q", c.name, body, c.body)
		}
	}
}

func signature(key, body string) string { return testkit.Signer(key).SignBody([]byte(body)) }

// TestSenderToken: the token of a user and that of a guest, byte for byte.
func TestSenderToken(t *testing.T) {
	for _, c := range loadWire(t).JWT {
		if got := makeToken(t, c.Key, c.Claims); got != c.Token {
			t.Errorf("%s:\n%s, want\n%s", c.Claims, got, c.Token)
		}
	}
}

// makeToken makes the portal issue a token.
func makeToken(t *testing.T, key string, claims any) string {
	t.Helper()
	return run[struct{ Token string }](t, object{"do": "token", "claims": claims, "key": key}).Token
}

// TestSenderGivesUp: how long the portal waits for a push server that does not answer.
func TestSenderGivesUp(t *testing.T) {
	for _, task := range []object{
		{"do": "protobuf statistics", "hostname": "h", "channels": twoChannels},
		{"do": "json-rpc call", "hostId": "h", "key": "key", "hostname": "h", "method": "ping", "params": object{}},
	} {
		l := listen(t, 0, "")
		task["url"] = l.url("/")
		if r := run[result](t, task); r.Error == "" || r.MS < 900 || r.MS > 2000 {
			t.Errorf("%v: error %q after %.0f ms", task["do"], r.Error, r.MS)
		}
		l.request()
	}
}

// TestManyReceivers: the portal splits a message to more than a hundred receivers.
func TestManyReceivers(t *testing.T) {
	var channels []string
	for i := range 250 {
		channels = append(channels, fmt.Sprintf("%032x", i))
	}
	l := listen(t, 200, "")
	r := run[result](t, object{"do": "protobuf", "url": l.url("/"), "hostname": "h",
		"messages": []object{{"channels": channels, "message": json.RawMessage(privet)}}})
	_, body := l.request()
	if n := strings.Count(body, privet[:20]); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	if body != string(r.Sent) {
		t.Error("the body differs from the sent one in the result")
	}
}
