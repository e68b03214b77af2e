package server

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/wire/pb"
)

// signedText is a text that a portal signs for one purpose, and its signature in hexadecimal
// digits.
type signedText struct{ text, signature string }

// TestSignatureServesOnePurpose tries every kind of signature at every place that takes one. Places
// whose text is free, such as the body of a post, are given the very text that was signed.
func TestSignatureServesOnePurpose(t *testing.T) {
	for _, algorithm := range []string{"sha1", "sha256"} { // the latter signs tokens too
		t.Run(algorithm, func(t *testing.T) { trySignatures(t, algorithm) })
	}
}

func trySignatures(t *testing.T, algorithm string) {
	w := start(t, onePortal(key), "PUSHGATE_SIGNATURE_ALGO="+algorithm, "PUSHGATE_POLL_TIMEOUT=100ms", "PUSHGATE_PUBLISH_SIGNED=true")
	s, err := sign.New(algorithm, []byte(key))
	w.must(err)
	private, other := madeUp(1), madeUp(3)
	refs, err := channel.Hex.ParseList(private.String()+":"+madeUp(2).String(), 1)
	w.must(err)
	pair, public := refs[0], refs[0].Public
	now := time.Now()
	of := func(text string) signedText { return signedText{text, s.SignBody([]byte(text))} }
	stamp := fmt.Sprint(now.Unix())
	timed := func(list, body string) signedText {
		return of("pushgate-timestamp:" + stamp + "\n" + list + "\n" + body)
	}
	const body = `{"module_id":"im","command":"message"}`
	const call = `{"jsonrpc":"2.0","method":"publish","params":{"userList":[5],"body":{}}}`
	batch, err := proto.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_ChannelStats{
		ChannelStats: &pb.ChannelStatsRequest{Channels: []*pb.ChannelId{{Id: bytesOf(private), IsPrivate: true}}}}}}})
	w.must(err)
	token := s.SignToken(sign.Token{User: 5, Expires: now.Add(time.Hour)}, "", now)
	dot := strings.LastIndexByte(token, '.')
	raw, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	w.must(err)

	kinds := map[string]signedText{
		"id":             of(private.String()),
		"pair":           of(private.String() + ":" + public.String()),
		"public id":      of("public:" + public.String()),
		"question":       of(private.String() + "/" + other.String()),
		"body":           of(body),
		"batch":          of(string(batch)),
		"call":           of(call),
		"timed post":     timed(private.String(), body),
		"timed question": timed(private.String(), ""),
		"timed call":     timed("", call),
		"token":          {token[:dot], hex.EncodeToString(raw)},
	}
	attempt := 0
	// do makes a request from a new address: repeated refusals of one address are answered later
	// and later.
	do := func(method, addr, path, body string) (int, string) {
		attempt++
		return w.do(method, addr, path, body, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", attempt%250))
	}
	own := s.Sign(pair).String()
	write := func(k signedText) string { // a client's batch to the public id
		signature, err := hex.DecodeString(k.signature)
		w.must(err)
		text, err := proto.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_IncomingMessages{
			IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{{Body: []byte(body),
				Receivers: []*pb.Receiver{{Id: bytesOf(public), Signature: signature}}}}}}}}})
		w.must(err)
		return string(text)
	}
	status := func(want int) func(int, string) bool { return func(got int, _ string) bool { return got == want } }
	places := map[string]struct {
		accepts []string
		try     func(k signedText) bool
	}{
		"list of one id": {[]string{"id"}, func(k signedText) bool {
			return status(304)(do("GET", w.edge.addr, "/bitrix/sub/?CHANNEL_ID="+private.String()+"."+k.signature, ""))
		}},
		"list of a pair": {[]string{"pair"}, func(k signedText) bool {
			return status(304)(do("GET", w.edge.addr, "/bitrix/sub/?CHANNEL_ID="+private.String()+":"+public.String()+"."+k.signature, ""))
		}},
		"list of a public id": {nil, func(k signedText) bool {
			return status(304)(do("GET", w.edge.addr, "/bitrix/sub/?CHANNEL_ID="+public.String()+"."+k.signature, ""))
		}},
		"token": {[]string{"token"}, func(k signedText) bool {
			signature, err := hex.DecodeString(k.signature)
			w.must(err)
			text := k.text + "." + base64.RawURLEncoding.EncodeToString(signature)
			return status(304)(do("GET", w.edge.addr, "/bitrix/sub/?token="+url.QueryEscape(text), ""))
		}},
		"post": {[]string{"body", "batch", "call"}, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+private.String()+"&signature="+k.signature, k.text))
		}},
		"binary post": {[]string{"body", "batch", "call"}, func(k signedText) bool {
			_, answer := do("POST", w.publisher.addr, "/bitrix/pub/?binaryMode=true&signature="+k.signature, k.text)
			return !strings.HasPrefix(answer, "4026")
		}},
		"post of version 5": {[]string{"body", "batch", "call"}, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/api/?signature="+k.signature, k.text))
		}},
		"timed post": {[]string{"timed post"}, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+private.String()+"&timestamp="+stamp+"&signature="+k.signature, body))
		}},
		"timed post of the same text": {nil, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+private.String()+"&timestamp="+stamp+"&signature="+k.signature, k.text))
		}},
		"timed call": {[]string{"timed call"}, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/api/?timestamp="+stamp+"&signature="+k.signature, call))
		}},
		// A portal signs a question about one channel as it signs the list of that channel, so one
		// signature serves two purposes. A question changes nothing, and the subscriber of a
		// channel knows the answer.
		"question": {[]string{"question", "id"}, func(k signedText) bool {
			return status(200)(do("GET", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+url.QueryEscape(k.text)+"&signature="+k.signature, ""))
		}},
		"timed question": {[]string{"timed question"}, func(k signedText) bool {
			return status(200)(do("GET", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+private.String()+"&timestamp="+stamp+"&signature="+k.signature, ""))
		}},
		"part of a post's list": {[]string{"pair"}, func(k signedText) bool {
			list := private.String() + ":" + public.String() + "." + k.signature
			return status(200)(do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+list+"&signature="+s.SignBody([]byte(body)), body))
		}},
		"part of a call's list": {[]string{"pair"}, func(k signedText) bool {
			text := fmt.Sprintf(`{"jsonrpc":"2.0","method":"publish","params":{"channelList":["%s:%s.%s"],"body":{}}}`, private, public, k.signature)
			_, answer := do("POST", w.publisher.addr, "/bitrix/api/?signature="+s.SignBody([]byte(text)), text)
			return strings.Contains(answer, `"mid"`)
		}},
		"a client's own list": {[]string{"pair"}, func(k signedText) bool {
			right := s.SignPublic(public)
			list := private.String() + ":" + public.String() + "." + k.signature
			return status(200)(do("POST", w.publisher.addr, "/bitrix/rest/?CHANNEL_ID="+list, write(signedText{signature: hex.EncodeToString(right)})))
		}},
		"receiver of a client's batch": {[]string{"public id"}, func(k signedText) bool {
			return status(200)(do("POST", w.publisher.addr, "/bitrix/rest/?CHANNEL_ID="+own, write(k)))
		}},
		"receiver of a client's call": {[]string{"public id"}, func(k signedText) bool {
			frame := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channelList":["%s.%s"],"body":%s}}`, public, k.signature, body)
			return !strings.Contains(w.say("jsonRpc=true&token="+token, websocket.MessageText, frame), `"error"`)
		}},
	}
	for where, place := range places {
		for what, kind := range kinds {
			if got, want := place.try(kind), slices.Contains(place.accepts, what); got != want {
				t.Errorf("signature of %s as that of %s: accepted %v, want %v", what, where, got, want)
			}
		}
	}
}

func bytesOf(id channel.ID) []byte {
	raw, _ := id.Bytes()
	return raw[:]
}
