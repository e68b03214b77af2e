package php

import (
	"encoding/json"
	"slices"
	"testing"

	"pushgate/e2e"
	"pushgate/internal/testkit"
)

// TestProtobuf: version 4. The subscribers speak text, as the mobile app does with every version.
func TestProtobuf(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	a, b, nowhere := e2e.NewChannel(), e2e.NewChannel(), e2e.NewChannel()
	readers := []reader{read(t, w, a), read(t, w, b)}
	url := "http://" + w.Internal + "/bitrix/pub/"
	both := []string{a.String(), b.String()}
	for len(both) < 230 { // three messages of one
		both = append(both, e2e.NewChannel().String())
	}
	r := run[result](t, object{"do": "protobuf", "url": url, "hostname": "portal.example.com", "messages": []object{
		{"channels": both, "message": message(1, object{"text": text})},
		{"channels": both[:2], "message": message(2, []any{}), "expiry": 60},
		// Transient: only for connected clients.
		{"channels": both[:2], "message": message(3, object{"text": "typing"}), "expiry": 0},
	}})
	r.accepted(t)
	if r.Body != "" {
		t.Errorf("the post was answered %q", r.Body)
	}
	for _, reader := range readers {
		reader.expectParams(object{"text": text}, []any{}, object{"text": "typing"})
	}

	want := []string{b.String(), a.String()}
	ask := func() result {
		r := run[result](t, object{"do": "protobuf statistics", "url": url, "hostname": "portal.example.com",
			"channels": []string{b.String(), nowhere.String(), a.String()}})
		r.accepted(t)
		return r
	}
	// An edge writes presence a moment after its sessions came.
	if !testkit.Wait(func() bool { r = ask(); return slices.Equal(r.Online, want) }) {
		t.Errorf("online are %v, want %v", r.Online, want)
	}
}

// expectParams waits for messages with these params, in this order, and fails the test for anything
// else.
func (r reader) expectParams(params ...any) {
	r.t.Helper()
	testkit.Wait(func() bool { return r.Arrived() >= len(params) })
	var got []any
	for _, a := range r.Arrivals() {
		var body struct{ Params any }
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
			r.t.Fatal(err)
		}
		got = append(got, body.Params)
	}
	if diff := testkit.Diff(params, got); diff != "" {
		r.t.Errorf("arrived:\n%s", diff)
	}
}
