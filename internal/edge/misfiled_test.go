package edge

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// misfiledLog is a log whose lists contain some records for other channels.
type misfiledLog struct{ *storetest.Memory }

func (l misfiledLog) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	answers := l.Memory.Histories(ctx, questions)
	for _, a := range answers {
		for i, m := range a.Page.Messages {
			if strings.Contains(string(m.Body), "misfiled") {
				other := m.To([]channel.ID{bob})
				other.ID, other.Received = m.ID, m.Received
				a.Page.Messages[i] = other
			}
		}
	}
	return answers
}

// A record in the list of a channel that is not among its receivers is left out, by every transport
// and every codec that names the channel.
func TestRecordWithoutItsChannelIsSkipped(t *testing.T) {
	log := misfiledLog{}
	settingsOf := func(s *settings) {
		log.Memory = storetest.NewMemory(store.Config{})
		s.Logs = map[string]Log{"default": log}
	}
	inWorld(t, settingsOf, func(t *testing.T, w *world) {
		w.log = log.Memory
		first := w.publish(`{"n":1}`, alice)
		w.publish(`{"misfiled":1}`, alice)
		last := w.publish(`{"n":2}`, alice)
		path := w.url("/bitrix/sub/", signed(alice), "mid", first.ID.String())
		for name, path := range map[string]string{"text": path, "json": path + "&format=json"} {
			conn := w.dial(path)
			if got, err := w.read(conn); err != nil || strings.Contains(got, "misfiled") || !strings.Contains(got, `{"n":2}`) {
				t.Errorf("%s over WebSocket: %q, %v", name, got, err)
			}
			got := <-w.get(path)
			if got.status != http.StatusOK || strings.Contains(got.body, "misfiled") || !strings.Contains(got.body, `{"n":2}`) {
				t.Errorf("%s by poll: %d %q, %v", name, got.status, got.body, got.err)
			}
		}
		_, stream := w.events(w.url("/bitrix/sse/", signed(alice), "mid", first.ID.String()), "")
		event(t, stream) // the head
		if got := event(t, stream); got != sse(last) {
			t.Errorf("stream: %q", got)
		}
	})
}
