package store_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// calls returns how often a server has executed a command.
func calls(t testing.TB, server *storetest.Redis, command string) int {
	t.Helper()
	info, err := open(t, server.URL()).Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	n, _ := strconv.Atoi(rest[:max(0, strings.IndexByte(rest, ','))])
	return n
}

// TestContents: as the documented user, a look shows what the messages of each type take and the
// biggest channels; it is bounded, and says how much it has seen.
func TestContents(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	s := store.New(open(t, userURL("redis", server.Addr(), "")), store.Config{})
	none, err := s.Contents(t.Context())
	if err != nil || none.Keys != 0 || len(none.Types)+len(none.Channels) != 0 {
		t.Errorf("an empty Redis: %+v, %v", none, err)
	}
	put := func(portal, typ string, n, size int, to channel.ID) {
		t.Helper()
		for range n {
			m := msg(time.Hour, strings.Repeat("x", size), to)
			m.Type = proto.MessageType(typ)
			post(t, s.Log(portal), m)
		}
	}
	put("a", "im_message", 10, 10_000, ch(1))
	put("a", "tasks_task", 50, 100, ch(2))
	put("b", "", 5, 100, ch(3))
	if _, _, err := s.PutSample(t.Context(), "one", "abcdef01", []byte("x")); err != nil {
		t.Fatal(err)
	}
	server.Must("SET", "pg:{a}:m:00000000000000000000000001", "damaged")
	got, err := s.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := func(all []store.Held) (text string) {
		for _, h := range all {
			text += fmt.Sprint(h.Name, " ", h.Keys, ", ")
			if h.Bytes < 50*h.Keys || h.Estimated != h.Bytes {
				t.Errorf("%+v", h)
			}
		}
		return text
	}
	if text := held(got.Types); text != "im_message 10, tasks_task 50,  5, damaged 1, " {
		t.Error(text)
	}
	if text := held(got.Others); !strings.Contains(text, "channels 3, ") || !strings.Contains(text, "portals 4, ") || !strings.Contains(text, "processes 3, ") {
		t.Error(text)
	}
	if got.Types[0].Bytes < 100_000 || got.Keys != got.Seen || got.Keys != 76 {
		t.Errorf("%+v", got)
	}
	if c := got.Channels; len(c) != 3 || c[0] != (store.Channel{Portal: "a", Channel: ch(2).String(), Messages: 50, Bytes: c[0].Bytes}) || c[2].Portal != "b" {
		t.Errorf("%+v", got.Channels)
	}
	// Fifty thousand keys more: most are not looked at.
	if _, err := open(t, server.URL()).Eval(t.Context(), "for i = 1, 50000 do redis.call('SET', 'other' .. i, 'x') end return 1", nil).Result(); err != nil {
		t.Fatal(err)
	}
	before := calls(t, server, "scan")
	got, err = s.Contents(t.Context())
	if err != nil || got.Keys != 50_076 || got.Seen < 9_000 || got.Seen > 12_000 {
		t.Errorf("%d of %d, %v", got.Seen, got.Keys, err)
	}
	if n := calls(t, server, "scan") - before; n != 40 {
		t.Errorf("%d scans", n)
	}
}

// TestSlowLogNamesNobody: the slow log shows which script of which portal was slow, and no channel,
// no user and no body.
func TestSlowLogNamesNobody(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	server.Must("CONFIG", "SET", "slowlog-log-slower-than", "0")
	s := store.New(open(t, userURL("redis", server.Addr(), "")), store.Config{})
	id := ch(0xab)
	for range 3 { // by its source, and by its hash
		post(t, s.Log("a"), msg(time.Hour, "the secret body", id))
	}
	if _, err := s.Log("a").History(t.Context(), []channel.ID{id}, proto.ID{}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Do("GET", "pg:{a}:c:"+id.String(), "the secret body"); err != nil {
		t.Log(err)
	}
	_, _ = server.Do("the_secret_body_of_a_word", "x")
	slow, err := s.Slow(t.Context())
	if err != nil || len(slow) == 0 {
		t.Fatal(slow, err)
	}
	text, err := json.Marshal(slow)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{id.String()[:8], "secret"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
	appends := 0
	for _, e := range slow {
		if e.Command == "script append" && e.Portal == "a" && e.Took >= 0 && time.Since(time.UnixMilli(e.At)) < time.Minute {
			appends++
		}
	}
	if appends < 2 || !strings.Contains(string(text), `"command":"script history","portal":"a"`) {
		t.Errorf("%d appends in %s", appends, text)
	}
}
