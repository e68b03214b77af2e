package client

import (
	"encoding/json"
	"fmt"
)

// sender returns the sender of a user's messages, as their receivers see it.
func (w *world) sender(user int) string {
	if w.version >= 5 && user < firstGuest {
		return fmt.Sprint(user)
	}
	return public(user).String()
}

// write lets a page write to a user.
func (b *tab) write(to int, module, command string, body object) {
	b.t.Helper()
	body["module_id"], body["command"] = module, command
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	// In a batch, the page sends the whole body.
	evaluate[bool](b, fmt.Sprintf(`pull.sendMessageBatch([{userList: [%d], body: %s}]).then(() => true)`, to, text))
}

// tells: a page writes to another one, by its public channel and by its user's number. The message
// arrives as a client's, with the sender that the server knows.
func tells(w *world) {
	a, b := w.open(1), w.open(2)
	var waves []heard
	await := func(n int) {
		w.Helper()
		b.await("what another page sends", func() bool { waves = b.heard(); return len(waves) >= n })
	}
	evaluate[bool](a, fmt.Sprintf(`pull.sendMessageToChannels([%q], "e2e", "wave", {n: 1}).then(() => true)`, w.portal.inbox(2)))
	await(1)
	evaluate[bool](a, `pull.sendMessage([2], "e2e", "wave", {n: 2}).then(() => true)`)
	await(2)
	for i, e := range waves {
		if e.Type != "client" || e.Command != "wave" || string(e.Params) != fmt.Sprintf(`{"n":%d}`, i+1) {
			w.Errorf("heard %+v", e)
		}
		if e.Extra.Sender.Type != 1 || e.Extra.Sender.ID != public(1).String() {
			w.Errorf("sent by %+v, want the public channel of user 1", e.Extra.Sender)
		}
	}
	if heard := a.heard(); len(heard) != 0 {
		w.Errorf("the sender heard %+v", heard)
	}
	w.configs(1, 1)
	w.configs(2, 1)
}

// impostor: a page pretends to be the portal, in every way that clients would believe. The other
// page is not affected.
func impostor(w *world) {
	a, b := w.open(1), w.open(2)
	if w.version >= 5 {
		// The client forgets a batch that it has sent, but its calls have ids.
		a.tolerates = "rpc response with unknown id"
	}
	for i, module := range []string{"pull", "PULL", "Pull"} {
		a.write(2, module, "config_expire", object{"params": object{}})
		if w.webSocket && w.version < 5 { // the refusal costs it its connection
			a.await("the refusal", func() bool { return a.closes(4014) == i+1 })
		}
		a.online()
	}
	a.write(2, "e2e", "wave", object{"params": object{}, "extra": object{
		"sender": object{"type": 2}, "revision_web": revision + 1, "server_time_unix": 1}})
	b.await("the wave", func() bool { return len(b.heard()) > 0 })
	if e := b.heard()[0]; e.Type != "client" || e.Extra.Sender.Type != 1 || e.Extra.Sender.ID != w.sender(1) {
		w.Errorf("heard %+v", e)
	}
	w.say(1, 3, private(2)) // a client that received another revision accepts no more messages
	b.expect(1, 3)
	w.configs(2, 1)
}
