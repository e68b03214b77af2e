package publisher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// copies is a mirror that keeps what it gets.
type copies struct {
	got         []string
	begun, ends uint64
}

func (c *copies) Begin() uint64 {
	c.begun++
	return c.begun
}

func (c *copies) End(number uint64) { c.ends += number }

func (c *copies) Copy(number uint64, r *http.Request, body []byte, id proto.ID, channels []channel.ID) {
	if number != c.begun || c.ends != 0 {
		panic("not between Begin and End")
	}
	c.got = append(c.got, fmt.Sprintf("%s %s %q %d %d", r.Method, r.URL.Path, body, id.Sequence, len(channels)))
}
func (*copies) Run(ctx context.Context) { <-ctx.Done() }

// TestAcceptedPostsAreCopied: the mirror gets each post that the log took, in every dialect, with
// the body as it came, and nothing else.
func TestAcceptedPostsAreCopied(t *testing.T) {
	private, public := testkit.ParseChannel(idA), testkit.ParseChannel(idB)
	s := testkit.Signer(testKey)
	own := s.Sign(channel.Ref{Private: private, Public: public}).String()
	right := public.String() + "." + fmt.Sprintf("%x", s.SignPublic(public))
	text := `{"module_id":"im","command":"message","params":{}}`
	batch, toClients := vectorBatch(t, "portal publishes one message"), toPublic(t, idB, text)
	toClient := publishCall(`{"channelList":["` + right + `"],"expiry":0,"body":{"module_id":"im","command":"x","params":{}}}`)
	calls := "[" + publishCall(`{"channelList":["`+idA+`"],"body":{}}`) + "," + publishCall(`{"userList":[5],"body":{}}`) + "]"
	seen := `{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"7":1700000000}}`
	asks := `{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[7]}}`
	body := func(target, body string) *http.Request { return request("POST", target, body) }
	outside := func(r *http.Request) *http.Request {
		r.RemoteAddr = "192.0.2.1:5000"
		return r
	}
	for _, c := range []struct {
		what string
		r    *http.Request
		want string
	}{
		{"text", body("/bitrix/pub?CHANNEL_ID="+idA+"/"+idB, " "+text+"\n"), `POST /bitrix/pub " {\"module_id\":\"im\",\"command\":\"message\",\"params\":{}}\n" 1 2`},
		{"no JSON", body("/pub/?CHANNEL_ID="+idA, "\xffhello"), `POST /pub/ "\xffhello" 1 1`},
		{"signed", outside(body("/pub/?CHANNEL_ID="+idA+"&signature="+s.SignBody([]byte(text)), text)), fmt.Sprintf("POST /pub/ %q 1 1", text)},
		{"batch", body("/pub/?binaryMode=true", batch), fmt.Sprintf("POST /pub/ %q 1 2", batch)},
		{"client's batch", body("/bitrix/rest/?CHANNEL_ID="+own, toClients), fmt.Sprintf("POST /bitrix/rest/ %q 1 1", toClients)},
		{"calls", call(t, calls), fmt.Sprintf("POST /bitrix/api/ %q 1 2", calls)},
		{"last seen", call(t, seen), fmt.Sprintf("POST /bitrix/api/ %q 0 0", seen)},
		{"client's call", body("/bitrix/rest/?CHANNEL_ID="+own, toClient), fmt.Sprintf("POST /bitrix/rest/ %q 1 1", toClient)},

		{"question", call(t, asks), ""},
		{"who is online", request("GET", "/pub/?CHANNEL_ID="+idA, ""), ""},
		{"wrong signature", outside(body("/pub/?CHANNEL_ID="+idA+"&signature="+s.SignBody([]byte("x")), text)), ""},
		{"no signature", outside(body("/pub/?CHANNEL_ID="+idA, text)), ""},
		{"no channel", body("/pub/", text), ""},
		{"empty", body("/pub/?CHANNEL_ID="+idA, ""), ""},
		{"no batch", body("/pub/?binaryMode=true", "\xff"), ""},
		{"receipt of a client", body("/bitrix/rest/?CHANNEL_ID="+own, "mack:00000000010000000000000001"), ""},
		{"wrong call", call(t, publishCall(`{"body":{}}`)), ""},
	} {
		m := new(copies)
		config := config(t)
		config.Mirror = m
		p := newPublisher(config, &fake{})
		w := p.do(c.r)
		if got := strings.Join(m.got, "\n"); got != c.want {
			t.Errorf("%s: answered %d %s, copied %s\nwant %s", c.what, w.Code, w.Body, got, c.want)
		}
		if m.ends != m.begun {
			t.Errorf("%s: %d begun, %d ended", c.what, m.begun, m.ends)
		}
	}
}

// TestWhatTheLogRefusesIsNotCopied: a post that was answered with an error is not copied, and one
// that is repeated after it is, for the first attempt may have been stored.
func TestWhatTheLogRefusesIsNotCopied(t *testing.T) {
	for _, c := range []struct {
		receipt proto.Receipt
		err     error
		want    int
	}{
		{proto.Receipt{}, errors.New("down"), 0},
		{proto.Receipt{}, nil, 0}, // all channels are closed
		{proto.Receipt{ID: proto.ID{Epoch: 1, Sequence: 1}, Repeated: true}, nil, 1},
	} {
		m := new(copies)
		config := config(t)
		config.Mirror = m
		p := newPublisher(config, &fake{append: func(context.Context, *proto.Message) (proto.Receipt, error) { return c.receipt, c.err }})
		p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "{}"))
		if len(m.got) != c.want {
			t.Errorf("%+v %v: %d copies", c.receipt, c.err, len(m.got))
		}
	}
}

// TestCopiesAreRecognized: a copy is answered as one, but only after it was accepted: whoever marks
// a post learns nothing from it.
func TestCopiesAreRecognized(t *testing.T) {
	p := newPublisher(config(t), &fake{})
	for _, c := range []struct{ peer, marked, want string }{
		{"127.0.0.1:5000", "1", "1"}, {"127.0.0.1:5000", "", ""}, {"192.0.2.1:5000", "1", ""},
	} {
		r := request("POST", "/pub/?CHANNEL_ID="+idA, "{}")
		r.RemoteAddr = c.peer
		if c.marked != "" {
			r.Header.Set("X-Pushgate-Mirror", c.marked)
		}
		if got := p.do(r).Header().Get("X-Pushgate-Mirror"); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
