package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// logCases are about ids, pages and epochs.
func logCases() []testCase {
	return []testCase{
		{"empty", store.Config{}, func(b *bench) {
			if head := b.head(proto.ID{}); !head.IsZero() {
				b.Errorf("head %v", head)
			}
			if p := b.page(proto.ID{}, ch(1)); len(p.Messages) > 0 || p.More || p.Gap() || !p.Through.IsZero() || !p.Head.IsZero() {
				b.Errorf("page %+v", p)
			}
			if p := b.page(proto.ID{}); len(p.Messages) > 0 {
				b.Errorf("page of no channels %+v", p)
			}
			if receipts := b.append(); len(receipts) > 0 {
				b.Errorf("receipts of nothing %+v", receipts)
			}
		}},
		{"ids rise by one", store.Config{}, func(b *bench) {
			first := b.post(time.Hour, "a", ch(1))
			if first.Sequence != 1 || first.Epoch < 1_700_000_000 {
				b.Errorf("first id %v", first)
			}
			receipts := b.append(msg(time.Hour, "b", ch(1)), msg(0, "t", ch(2)), msg(time.Hour, "c", ch(2)))
			for i, r := range receipts {
				if want := (proto.ID{Epoch: first.Epoch, Sequence: uint64(i + 2)}); r.ID != want {
					b.Errorf("message %d of a batch: id %v, want %v", i, r.ID, want)
				}
			}
			if head := b.head(first); head != receipts[2].ID {
				b.Errorf("head %v, want %v", head, receipts[2].ID)
			}
			b.want("a b c", proto.ID{}, ch(1), ch(2))
		}},
		{"a message comes back whole", store.Config{}, func(b *bench) {
			// Clients write to public ids.
			receivers := []channel.ID{channel.ForPublic(ch(1)), channel.ForPublic(ch(2))}
			odd, err := channel.Parse(strings.Repeat("Zz", 16))
			if err != nil {
				b.Fatal(err)
			}
			for _, receivers := range [][]channel.ID{receivers, {odd, channel.ForPublic(ch(3))}} {
				sent := msg(90*time.Minute, "\x00\xff#!", receivers...)
				sent.Sender = proto.Sender{Type: proto.SenderClient, ID: receivers[0]}
				id := b.append(sent)[0].ID
				p := b.page(proto.ID{}, receivers[0])
				if len(p.Messages) != 1 {
					b.Fatalf("page %+v", p)
				}
				got := p.Messages[0]
				if got.ID != id || string(got.Body) != string(sent.Body) || got.Sender != sent.Sender || got.Type != sent.Type || got.TTL != sent.TTL ||
					!got.Created.Equal(sent.Created) || !testkit.Equal(got.Receivers, sent.Receivers) {
					b.Errorf("sent %+v, got %+v", sent, got)
				}
				if !sent.ID.IsZero() {
					b.Error("append changed the message")
				}
			}
		}},
		{"an invalid message is refused", store.Config{}, func(b *bench) {
			tooMany := make([]channel.ID, proto.MaxReceivers+1)
			for i := range tooMany {
				tooMany[i] = channel.FromBytes([16]byte{byte(i), byte(i >> 8)})
			}
			for name, m := range map[string]*proto.Message{
				"no receivers":       msg(time.Hour, "x"),
				"too many receivers": msg(time.Hour, "x", tooMany...),
				"no channel":         msg(time.Hour, "x", channel.ID{}),
				"negative life":      msg(-1, "x", ch(1)),
				"life beyond a day":  msg(proto.MaxTTL+1, "x", ch(1)),
			} {
				if _, err := b.Log.Append(b.Context(), msg(time.Hour, "good", ch(1)), m); err == nil {
					b.Errorf("%s: accepted", name)
				}
			}
			b.want("", proto.ID{}, ch(1))
			// A miniredis takes a second for all that are allowed.
			b.append(msg(time.Hour, "many", tooMany[:1000]...))
			b.want("many", proto.ID{}, tooMany[999])
		}},
		{"channels are merged without doubles", store.Config{PageMessages: 3}, func(b *bench) {
			b.post(time.Hour, "1", ch(1))
			b.post(time.Hour, "2", ch(2), ch(1), ch(3))
			b.post(time.Hour, "x", ch(9))
			three := b.post(time.Hour, "3", ch(3))
			b.post(time.Hour, "4", ch(1), ch(2))
			b.post(time.Hour, "5", ch(3), ch(2))
			b.want("1 2 3 4 5", proto.ID{}, ch(1), ch(2), ch(3))
			b.want("1 2 3 4 5", proto.ID{}, ch(3), ch(1), ch(3), ch(2))
			b.want("4 5", three, ch(3), ch(1), ch(2))
			b.want("1 2 4", proto.ID{}, ch(1))
			b.want("", proto.ID{}, ch(4))
		}},
		{"a cursor finds its place in a long list", store.Config{PageMessages: 7}, func(b *bench) {
			var ids []proto.ID
			var texts []string
			for i := range 100 {
				texts = append(texts, fmt.Sprint(i))
				ids = append(ids, b.post(time.Hour, texts[i], ch(byte(1+i%3)), ch(8)))
			}
			for i := range ids {
				b.want(strings.Join(texts[i+1:], " "), ids[i], ch(8))
				b.want(strings.Join(texts[i+1:], " "), ids[i], ch(1), ch(2), ch(3))
			}
		}},
		{"a page is bounded by messages", store.Config{PageMessages: 4}, func(b *bench) {
			for i := range 9 {
				b.post(time.Hour, fmt.Sprint(i), ch(byte(1+i%2)))
			}
			p := b.page(proto.ID{}, ch(1), ch(2))
			if got := strings.Join(bodies(p), " "); got != "0 1 2 3" || !p.More || p.Through != p.Messages[3].ID {
				b.Errorf("first page %q through %v, more %v", got, p.Through, p.More)
			}
			if p = b.page(p.Through, ch(1), ch(2)); len(p.Messages) != 4 || !p.More {
				b.Errorf("second page of %d, more %v", len(p.Messages), p.More)
			}
			if p = b.page(p.Through, ch(1), ch(2)); len(p.Messages) != 1 || p.More {
				b.Errorf("last page of %d, more %v", len(p.Messages), p.More)
			}
		}},
		{"a full page at the end says that there is no more", store.Config{PageMessages: 4}, func(b *bench) {
			for i := range 4 {
				b.post(time.Hour, fmt.Sprint(i), ch(1))
			}
			if p := b.page(proto.ID{}, ch(1)); p.More || len(p.Messages) != 4 {
				b.Errorf("page of %d, more %v", len(p.Messages), p.More)
			}
		}},
		{"a page is bounded by bytes", store.Config{PageBytes: 1000}, func(b *bench) {
			large := strings.Repeat("x", 450)
			for range 3 {
				b.post(time.Hour, large, ch(1))
			}
			b.post(time.Hour, strings.Repeat("y", 5000), ch(1))
			b.post(time.Hour, "z", ch(1))
			after := proto.ID{}
			for i, n := range []int{2, 1, 1, 1} {
				p := b.page(after, ch(1))
				if len(p.Messages) != n || p.More != (i < 3) {
					b.Errorf("page %d: %d messages, more %v; want %d", i, len(p.Messages), p.More, n)
				}
				after = p.Through
			}
		}},
		{"pages past expired messages make progress", store.Config{PageMessages: 5}, func(b *bench) {
			b.post(time.Hour, "first", ch(1))
			for i := range 300 {
				b.append(msg(time.Minute, fmt.Sprint(i), ch(1)))
			}
			b.post(time.Hour, "last", ch(1))
			b.Advance(2 * time.Minute)
			if p := b.page(proto.ID{}, ch(1)); len(p.Messages) != 2 || p.More {
				b.Errorf("%q, more %v", bodies(p), p.More)
			}
			b.want("first last", proto.ID{}, ch(1))
		}},
		{"a new epoch after data was lost", store.Config{}, func(b *bench) {
			b.post(time.Hour, "a", ch(1))
			old := b.post(time.Hour, "b", ch(1))
			b.Flush()
			first := b.post(time.Hour, "c", ch(1))
			if first.Epoch <= old.Epoch || first.Sequence != 1 {
				b.Errorf("after %v came %v", old, first)
			}
			if got, gap := b.all(old, ch(1)); strings.Join(got, " ") != "c" || !gap {
				b.Errorf("history of an old cursor: %q, gap %v", got, gap)
			}
			b.want("", first, ch(1))
		}},
		{"head raises a log that lost data", store.Config{}, func(b *bench) {
			old := b.post(time.Hour, "a", ch(1))
			if head := b.head(old); head != old {
				b.Errorf("head %v, want %v", head, old)
			}
			b.Flush()
			raised := b.head(old)
			if raised.Epoch <= old.Epoch || raised.Sequence != 0 {
				b.Errorf("raised from %v to %v", old, raised)
			}
			if again := b.head(old); again != raised {
				b.Errorf("raised twice: %v, %v", raised, again)
			}
			if id := b.post(time.Hour, "b", ch(1)); id != (proto.ID{Epoch: raised.Epoch, Sequence: 1}) {
				b.Errorf("first id %v after head %v", id, raised)
			}
			ahead := proto.ID{Epoch: raised.Epoch + 1_000_000, Sequence: 77}
			if head := b.head(ahead); head != (proto.ID{Epoch: ahead.Epoch + 1}) {
				b.Errorf("raised over %v to %v", ahead, head)
			}
			if id := b.post(time.Hour, "c", ch(1)); id != (proto.ID{Epoch: ahead.Epoch + 1, Sequence: 1}) {
				b.Errorf("id %v", id)
			}
			if got, gap := b.all(raised, ch(1)); strings.Join(got, " ") != "b c" || !gap {
				b.Errorf("history over two epochs: %q, gap %v", got, gap)
			}
		}},
		{"a cursor ahead of the log gets what there is, and a gap", store.Config{PageMessages: 2}, func(b *bench) {
			var last proto.ID
			for i := range 3 {
				last = b.post(time.Hour, fmt.Sprint(i), ch(1))
			}
			for _, ahead := range []proto.ID{
				{Epoch: last.Epoch, Sequence: last.Sequence + 1},
				{Epoch: last.Epoch + 1},
				{Epoch: 9_999_999_999, Sequence: 9_999_999_999_999_999},
			} {
				if got, gap := b.all(ahead, ch(1)); strings.Join(got, " ") != "0 1 2" || !gap {
					b.Errorf("after %v: %q, gap %v", ahead, got, gap)
				}
				if head := b.head(proto.ID{}); head != last {
					b.Errorf("a reader's cursor moved the head to %v", head)
				}
			}
			b.want("", last, ch(1))
		}},
		{"a loss is a gap for as long as what was lost would have lived", store.Config{}, func(b *bench) {
			old := b.post(24*time.Hour, "a", ch(1))
			b.Flush()
			first := b.post(24*time.Hour, "b", ch(1))
			b.Advance(23 * time.Hour)
			p := b.page(old, ch(1))
			if want := (proto.ID{Epoch: first.Epoch}); p.Lost != want || len(p.Messages) != 1 {
				b.Errorf("after a day: %q, lost %v, want %v", bodies(p), p.Lost, want)
			}
			if _, gap := b.all(old, ch(2)); !gap {
				b.Error("no gap on a channel that may have lost messages")
			}
			b.Advance(2 * time.Hour)
			b.want("", old, ch(1))
		}},
		{"a cap leaves a gap for as long as it matters", store.Config{ChannelCap: 3}, func(b *bench) {
			var ids []proto.ID
			for i := range 5 {
				ids = append(ids, b.post(time.Duration(i+1)*time.Minute, fmt.Sprint(i), ch(1), ch(byte(10+i))))
			}
			if got, gap := b.all(proto.ID{}, ch(1)); strings.Join(got, " ") != "2 3 4" || !gap {
				b.Errorf("from the start: %q, gap %v", got, gap)
			}
			if p := b.page(ids[0], ch(1)); p.Lost != ids[1] {
				b.Errorf("before a trimmed message: lost %v, want %v", p.Lost, ids[1])
			}
			b.want("2 3 4", ids[1], ch(1))
			b.want("0", proto.ID{}, ch(10)) // another channel still has what this one has trimmed
			b.Advance(90 * time.Second)     // 0 is dead, 1 not
			if _, gap := b.all(ids[0], ch(1)); !gap {
				b.Error("the gap ended early")
			}
			b.Advance(time.Minute) // 1 would be dead too
			b.want("2 3 4", ids[0], ch(1))
		}},
		{"several questions", store.Config{PageMessages: 2}, func(b *bench) {
			for i := range 9 {
				b.post(time.Hour, fmt.Sprint(i), ch(byte(i%3)))
			}
			questions := []proto.Question{{Channels: []channel.ID{ch(0), ch(1)}}, {Channels: []channel.ID{ch(2)}, After: b.page(proto.ID{}, ch(2)).Through},
				{Channels: []channel.ID{ch(9)}}, {Channels: []channel.ID{ch(0)}, After: proto.ID{Epoch: 9999999999, Sequence: 1}}}
			answers := b.Log.Histories(b.Context(), questions)
			for i, q := range questions {
				want := b.page(q.After, q.Channels...)
				got := answers[i].Page
				if answers[i].Err != nil || got.Through != want.Through || got.More != want.More || got.Head != want.Head || got.Lost != want.Lost ||
					!slices.Equal(bodies(got), bodies(want)) {
					b.Errorf("question %d: %+v, want %+v", i, answers[i], want)
				}
			}
			if answers := b.Log.Histories(b.Context(), nil); len(answers) != 0 {
				b.Errorf("answers to nothing: %v", answers)
			}
		}},
		{"a cap of dead messages leaves no gap", store.Config{ChannelCap: 3}, func(b *bench) {
			first := b.post(time.Minute, "0", ch(1))
			b.post(time.Minute, "1", ch(1))
			b.Advance(2 * time.Minute)
			for _, text := range []string{"2", "3", "4", "5"} {
				b.post(time.Hour, text, ch(1))
			}
			if got, gap := b.all(first, ch(1)); strings.Join(got, " ") != "3 4 5" || !gap {
				b.Errorf("%q, gap %v", got, gap)
			}
			second := b.post(time.Minute, "x", ch(2))
			b.post(time.Minute, "y", ch(2))
			b.Advance(2 * time.Minute)
			for _, text := range []string{"6", "7", "8"} {
				b.post(time.Hour, text, ch(2))
			}
			b.want("6 7 8", second, ch(2))
		}},
	}
}
