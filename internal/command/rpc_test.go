package command

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

func signed(n byte) string {
	return id(n).String() + "." + hex.EncodeToString(signer.SignPublic(id(n)))
}

func rpcPublish(params string) rpc.Call {
	return rpc.Call{Method: "publish", Params: json.RawMessage(params)}
}

const good = `"body":{"module_id":"im","command":"x","params":{}}`

func TestCallPublishes(t *testing.T) {
	for name, c := range map[string]struct {
		caller Caller
		params string
		to     []channel.ID
		sender string // of the body's extra
		ttl    time.Duration
	}{
		"to users": {Caller{User: 5}, `{"userList":[7,"8",0,7],` + good + `}`, []channel.ID{channel.ForUser(7), channel.ForUser(8)}, `"id":"5"`, 24 * time.Hour},
		"to public ids": {Caller{User: 5, Public: mine}, `{"channelList":["` + signed(2) + `",{"publicId":"` + id(4).String() + `","signature":"` +
			hex.EncodeToString(signer.SignPublic(id(4))) + `"}],` + good + `,"expiry":60}`, []channel.ID{channel.ForPublic(id(2)), channel.ForPublic(id(4))}, `"id":"5"`, time.Minute},
		"of a guest": {Caller{Public: mine}, `{"channelList":["` + signed(2) + `"],` + good + `,"expiry":0}`, []channel.ID{channel.ForPublic(id(2))}, `"id":"` + mine.String() + `"`, 0},
		"what is for portals is not looked at": {Caller{User: 5}, `{"userList":[7],` + good + `,"user_params":{"7":{"a":1}},"dictionary":{"b":1},"type":"x"}`,
			[]channel.ID{channel.ForUser(7)}, `"id":"5"`, 24 * time.Hour},
	} {
		f := &fake{}
		reply, err := newExecutor(t, f).Call(t.Context(), c.caller, rpcPublish(c.params))
		if err != nil || reply.Fault != nil || len(f.got) != 1 {
			t.Errorf("%s: %v, %v", name, reply.Fault, err)
			continue
		}
		m := f.got[0]
		if fmt.Sprint(m.Receivers) != fmt.Sprint(c.to) || m.TTL != c.ttl || m.Type != "im_x" || m.UserParams != nil || strings.Contains(string(m.Body), `"b"`) {
			t.Errorf("%s: %+v", name, m)
		}
		if m.Sender != c.caller.sender() || m.Sender.Type != proto.SenderClient || !strings.Contains(string(m.Body), `"extra":{"sender":{"type":1,`+c.sender+`}`) {
			t.Errorf("%s: from %v: %s", name, m.Sender, m.Body)
		}
	}
}

func TestCallRefuses(t *testing.T) {
	unsigned := id(2).String()
	private := id(2).String() + "." + signer.Sign(channel.Ref{Private: id(2)}).Signature
	list := strings.TrimSuffix(strings.Repeat(`1,`, 101), ",")
	for name, c := range map[string]struct {
		caller Caller
		params string
		want   string
	}{
		"nobody":                     {Caller{}, `{"channelList":["` + signed(2) + `"],` + good + `}`, proto.ErrNoPublicID.Text},
		"a guest to users":           {Caller{Public: mine}, `{"userList":[5],` + good + `}`, proto.ErrPrivateChannel.Text},
		"no receivers":               {Caller{User: 5}, `{` + good + `}`, proto.ErrNoChannels.Text},
		"many receivers":             {Caller{User: 5}, `{"channelList":[` + list + `],` + good + `}`, proto.ErrTooManyChannels.Text},
		"no signature":               {Caller{User: 5}, `{"channelList":["` + unsigned + `"],` + good + `}`, proto.ErrChannelSignature.Text},
		"the signature of a private": {Caller{User: 5}, `{"channelList":["` + private + `"],` + good + `}`, proto.ErrChannelSignature.Text},
		"a user's channel by name":   {Caller{User: 5}, `{"channelList":["` + channel.ForUser(7).String() + `"],` + good + `}`, proto.ErrChannelSignature.Text},
		"a number as a channel":      {Caller{User: 5}, `{"channelList":[7],` + good + `}`, proto.ErrChannelSignature.Text},
		"a system command":           {Caller{User: 5}, `{"userList":[7],"body":{"module_id":"Pull","command":"x"}}`, proto.ErrSystemMessage.Text},
		"a second module":            {Caller{User: 5}, `{"userList":[7],"body":{"module_id":"im","command":"x","module_id":"pull"}}`, proto.ErrSystemMessage.Text},
		"a body of no sense":         {Caller{User: 5}, `{"userList":[7],"body":"x"}`, proto.ErrRequestData.Text},
		"no body":                    {Caller{User: 5}, `{"userList":[7]}`, proto.ErrRequestData.Text},
		"params of no sense":         {Caller{User: 5}, `{"userList":7}`, "userList is not a list"},
	} {
		f := &fake{}
		reply, err := newExecutor(t, f).Call(t.Context(), c.caller, rpcPublish(c.params))
		if err != nil || reply.Fault == nil || reply.Fault.Data != c.want || len(f.got) > 0 {
			t.Errorf("%s: %v, %v; want %s", name, reply.Fault, err, c.want)
		}
	}
	x := newExecutor(t, &fake{})
	for call, want := range map[*rpc.Call]*rpc.Error{
		{Method: "nope"}: rpc.ErrMethodNotFound, {Fault: rpc.ErrInvalidRequest}: rpc.ErrInvalidRequest, {Method: "updateUsersLastSeen"}: rpc.ErrMethodNotFound,
	} {
		if reply, err := x.Call(t.Context(), Caller{User: 5}, *call); err != nil || !errors.Is(reply.Fault, want) {
			t.Errorf("%s: %v, %v", call.Method, reply.Fault, err)
		}
	}
}

// TestClientsAskAboutFewUsers: a client may ask about as many users as channels at a time, a portal
// about all that it has.
func TestClientsAskAboutFewUsers(t *testing.T) {
	x := newExecutor(t, &fake{})
	for n, allowed := range map[int]bool{1: true, 100: true, 101: false, 10_000: false} {
		users := make([]int, n)
		for i := range users {
			users[i] = i + 1
		}
		list, err := json.Marshal(users)
		if err != nil {
			t.Fatal(err)
		}
		params := json.RawMessage(`{"userList":` + string(list) + `}`)
		reply, err := x.Call(t.Context(), Caller{User: 5}, rpc.Call{Method: "getUsersLastSeen", Params: params})
		if err != nil || (reply.Fault == nil) != allowed || !allowed && reply.Fault.Data != "too many users" {
			t.Errorf("%d users: %v, %v", n, reply.Fault, err)
		}
		if reply, err := x.LastSeen(t.Context(), params); err != nil || reply.Fault != nil {
			t.Errorf("a portal, %d users: %v, %v", n, reply.Fault, err)
		}
	}
}

func TestCallWithoutALog(t *testing.T) {
	away := errors.New("away")
	x := newExecutor(t, &fake{appends: away, onlines: away})
	for _, call := range []rpc.Call{rpcPublish(`{"userList":[7],` + good + `}`), {Method: "getUsersLastSeen", Params: json.RawMessage(`{"userList":[1]}`)}} {
		if _, err := x.Call(t.Context(), Caller{User: 5}, call); !errors.Is(err, away) {
			t.Errorf("%s: %v", call.Method, err)
		}
	}
	reply, err := newExecutor(t, &fake{closed: true}).Call(t.Context(), Caller{User: 5}, rpcPublish(`{"userList":[7],`+good+`}`))
	if err != nil || reply.Fault == nil || reply.Fault.Data != proto.ErrChannelsClosed.Text {
		t.Errorf("closed: %v, %v", reply.Fault, err)
	}
}
