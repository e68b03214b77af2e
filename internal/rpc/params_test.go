package rpc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pushgate/internal/rpc"
)

func TestParsePublish(t *testing.T) {
	p, fault := rpc.ParsePublish(json.RawMessage(`{"channelList":["a",{"publicId":"b"}],"userList":[0,5,"6",5],"body":{"x":1},
		"user_params":[],"dictionary":{"d":1},"expiry":60,"type":"im_message"}`))
	got := fmt.Sprintf("%v %s %s %s %s %v %s %v", p.Users, p.Channels, p.Body, p.UserParams, p.Dictionary, p.Expiry, p.Type, fault)
	if want := `[5 6] ["a" {"publicId":"b"}] {"x":1} [] {"d":1} 1m0s im_message <nil>`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for params, want := range map[string]time.Duration{
		`{}`: 24 * time.Hour, `{"expiry":null}`: 24 * time.Hour, `{"expiry":0}`: 0, `{"expiry":"0"}`: 0, `{"expiry":-1}`: 24 * time.Hour,
		`{"expiry":"15"}`: 15 * time.Second, `{"expiry":1e300}`: 24 * time.Hour, `{"expiry":86401}`: 24 * time.Hour, `{"expiry":1.9}`: time.Second,
	} {
		if p, fault := rpc.ParsePublish(json.RawMessage(params)); fault != nil || p.Expiry != want {
			t.Errorf("%s: expiry %v, %v; want %v", params, p.Expiry, fault, want)
		}
	}
	for _, bad := range []string{`[1]`, `7`, `{"userList":5}`, `{"userList":{}}`, `{"userList":[-5]}`, `{"userList":["x"]}`, `{"userList":[1.5]}`,
		`{"userList":[null]}`, `{"userList":[[1]]}`, `{"channelList":"x"}`, `{"channelList":{}}`, `{"expiry":"soon"}`, `{"expiry":{}}`, `{"expiry":"NaN"}`,
		`{"userList":[` + strings.Repeat("1,", 10_000) + `1]}`} {
		if p, fault := rpc.ParsePublish(json.RawMessage(bad)); !errors.Is(fault, rpc.ErrInvalidParams) || p.Users != nil {
			t.Errorf("%.40s: %v", bad, fault)
		}
	}
}

func TestParseUsers(t *testing.T) {
	for params, want := range map[string]string{`{"userList":[3,1]}`: "[3 1]", `[]`: "[]", `{}`: "[]", "": "[]"} {
		if users, fault := rpc.ParseUsers(json.RawMessage(params)); fault != nil || fmt.Sprint(users) != want {
			t.Errorf("%s: %v, %v", params, users, fault)
		}
	}
	for params, want := range map[string]int64{`{"userId":7}`: 7, `{"userId":"7"}`: 7} {
		if user, fault := rpc.ParseUser(json.RawMessage(params)); fault != nil || user != want {
			t.Errorf("%s: %v, %v", params, user, fault)
		}
	}
	for _, bad := range []string{`{}`, `[]`, `{"userId":0}`, `{"userId":"x"}`, `{"userId":null}`, `{"userid":7}`, `{"userId":9223372036854775808}`} {
		if user, fault := rpc.ParseUser(json.RawMessage(bad)); !errors.Is(fault, rpc.ErrInvalidParams) {
			t.Errorf("%s: %v, %v", bad, user, fault)
		}
	}
}

func TestParseSeen(t *testing.T) {
	seen, fault := rpc.ParseSeen(json.RawMessage(`{"5":1795226210,"6":"1795226211","0":7,"7":0,"8":1e300}`))
	if fault != nil || len(seen) != 3 || seen[0].User != 5 || seen[0].At.Unix() != 1795226210 || seen[1].At.Unix() != 1795226211 {
		t.Errorf("%v, %v", seen, fault)
	}
	for _, none := range []string{`[]`, `{}`} {
		if seen, fault := rpc.ParseSeen(json.RawMessage(none)); fault != nil || len(seen) != 0 {
			t.Errorf("%s: %v, %v", none, seen, fault)
		}
	}
	for _, bad := range []string{`[1]`, `{"x":1}`, `{"5":"x"}`, `{"-5":1}`, `{"5":null}`} {
		if seen, fault := rpc.ParseSeen(json.RawMessage(bad)); !errors.Is(fault, rpc.ErrInvalidParams) || seen != nil {
			t.Errorf("%s: %v, %v", bad, seen, fault)
		}
	}
}

func TestLastSeen(t *testing.T) {
	now := time.Unix(1795226210, 0)
	got := rpc.LastSeen([]int64{1, 2, 3, 4, 5}, []int{2, 0, 0, 1, 0},
		[]time.Time{now, now.Add(-154 * time.Second), {}, {}, now.Add(time.Minute)}, now)
	if want := `{"1":0,"2":154,"4":0,"5":1}`; string(got) != want { // 0 would mean that 5 is online
		t.Errorf("got %s, want %s", got, want)
	}
	if got := rpc.LastSeen(nil, nil, nil, now); string(got) != "{}" {
		t.Errorf("nobody: %s", got)
	}
}
