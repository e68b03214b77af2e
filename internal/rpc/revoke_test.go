package rpc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pushgate/internal/rpc"
)

func TestParseRevoke(t *testing.T) {
	for params, want := range map[string]rpc.Revoke{
		`{"userId":17}`:                            {User: 17},
		`{"userId":"17","until":1800000000}`:       {User: 17, Until: time.Unix(1800000000, 0)},
		`{"tokenId":"a","until":"1800000000"}`:     {TokenID: "a", Until: time.Unix(1800000000, 0)},
		`{"token":"a.b.c","until":0}`:              {Token: "a.b.c"},
		`{"channelId":"x","until":null,"more":[]}`: {Channel: "x"},
		`[]`: {}, // an object without members, as PHP writes it
		`{}`: {},
	} {
		if got, fault := rpc.ParseRevoke(json.RawMessage(params)); fault != nil || got != want {
			t.Errorf("%s: %+v, %v", params, got, fault)
		}
	}
	for _, params := range []string{`7`, `[1]`, `{"userId":0}`, `{"userId":-1}`, `{"userId":1.5}`, `{"userId":[]}`, `{"tokenId":""}`, `{"token":7}`, `{"channelId":{}}`,
		`{"userId":1,"until":"soon"}`, `{"userId":1,"until":-1}`, `{"userId":1,"until":1800000000000}`, `{"userId":1,"until":"NaN"}`} {
		if got, fault := rpc.ParseRevoke(json.RawMessage(params)); fault == nil || got != (rpc.Revoke{}) {
			t.Errorf("%s: %+v, %v", params, got, fault)
		}
	}
}

// FuzzParseRevoke: no params make the parser panic, and the faults do not quote them.
func FuzzParseRevoke(f *testing.F) {
	for _, params := range []string{`{"userId":17,"until":1800000000}`, `{"token":"a.b.c"}`, `{"tokenId":"x","channelId":"y"}`, `[]`, `{"until":1e300}`, `{"userId":"\"17\""}`} {
		f.Add(params)
	}
	f.Fuzz(func(t *testing.T, params string) {
		r, fault := rpc.ParseRevoke(json.RawMessage(params))
		if fault != nil {
			if r != (rpc.Revoke{}) || len(params) > 40 && strings.Contains(string(rpc.Fault(fault)), params) {
				t.Errorf("%+v, %s", r, rpc.Fault(fault))
			}
			return
		}
		if r.User < 0 || !r.Until.IsZero() && (r.Until.Unix() <= 0 || r.Until.Unix() > 1e11) {
			t.Errorf("%+v", r)
		}
	})
}
