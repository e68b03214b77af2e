package php

import (
	"strings"
	"testing"

	"github.com/coder/websocket"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// page is what the settings page shows and stores.
type page struct {
	Options map[string]string
	Shown   []string
	Error   string
}

// TestSettingsPage: an administrator chooses the shared server on the portal's settings page, or
// leaves the choice to the portal. With what the page has stored, and nothing else, the portal
// posts and a browser receives.
func TestSettingsPage(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1, Portals: 2})
	p := w.Portals[1]
	task := object{"do": "settings page", "cloudServer": "http://" + w.Public, "scheme": "http", "licence": p.Licence}
	for _, choice := range []object{{}, {"choose": 0}} {
		for key, value := range task {
			choice[key] = value
		}
		got := run[page](t, choice)
		want := page{map[string]string{"registered_on_shared_server": "Y", "shared_server_address": w.Public, "shared_server_key": p.Keys[0]},
			[]string{w.Public + " (pushgate)"}, ""}
		if diff := testkit.Diff(want, got); diff != "" {
			t.Fatalf("with %v:\n%s", choice["choose"], diff)
		}

		address, key := got.Options["shared_server_address"], got.Options["shared_server_key"]
		id := e2e.NewChannel()
		list := testkit.Signer(key).Sign(channel.Ref{Private: id}).String()
		socket, _, err := websocket.Dial(t.Context(), "ws://"+address+"/subws/?CHANNEL_ID="+list+"&clientId="+p.ClientID, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.CloseNow()
		r := run[result](t, object{"do": "protobuf", "url": "http://" + address + "/pub/", "clientId": p.ClientID, "key": key, "hostname": "portal.example.com",
			"messages": []object{{"channels": []string{id.String()}, "message": message(1, object{"text": "shared"})}}})
		r.accepted(t)
		if _, frame, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(frame), `"shared"`) {
			t.Errorf("%v %s", err, frame)
		}
	}

	task["licence"] = "of a portal that nobody knows"
	if got := run[page](t, task); got.Error != "LICENSE_NOT_FOUND" || got.Options["registered_on_shared_server"] != "N" {
		t.Errorf("%+v", got)
	}
}
