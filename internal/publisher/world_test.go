package publisher

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fake is a log and statistics whose answers are functions. Without a function, it accepts
// everything, and no user is online.
type fake struct {
	append    func(context.Context, *proto.Message) (proto.Receipt, error)
	online    func(context.Context, []channel.ID) ([]int, error)
	processes func(context.Context) ([]proto.Process, error)
	puts      []proto.Process
	drops     []string

	got  []*proto.Message
	seen []proto.Seen

	revoked revoke.List
	failing error // of RevokedAny
}

func (f *fake) LastSeen(ctx context.Context, users []int64) ([]int, []time.Time, error) {
	channels := make([]channel.ID, len(users))
	for i, user := range users {
		channels[i] = channel.ForUser(user)
	}
	sessions, err := f.Online(ctx, channels)
	times := make([]time.Time, len(users))
	for i, user := range users {
		for _, s := range f.seen {
			if s.User == user {
				times[i] = s.At
			}
		}
	}
	return sessions, times, err
}

func (f *fake) SetSeen(_ context.Context, seen ...proto.Seen) error {
	f.seen = append(f.seen, seen...)
	return nil
}

func (f *fake) Revoke(_ context.Context, entry revoke.Entry, until time.Time) error {
	if f.revoked == nil {
		f.revoked = make(revoke.List)
	}
	f.revoked[entry] = until.Unix()
	return nil
}

func (f *fake) Lift(_ context.Context, entry revoke.Entry) error {
	delete(f.revoked, entry)
	return nil
}

func (f *fake) Revocations(context.Context, proto.ID) (revoke.List, proto.ID, error) {
	return f.revoked, proto.ID{}, nil
}

func (f *fake) RevokedAny(_ context.Context, entries ...revoke.Entry) (bool, error) {
	return slices.ContainsFunc(entries, func(e revoke.Entry) bool { return f.revoked[e] > time.Now().Unix() }), f.failing
}

func (f *fake) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	if f.append != nil {
		receipt, err := f.append(ctx, msgs[0])
		if err != nil {
			return nil, err
		}
		return []proto.Receipt{receipt}, nil
	}
	receipts := make([]proto.Receipt, len(msgs))
	for i, m := range msgs {
		f.got = append(f.got, m)
		receipts[i].ID = proto.ID{Epoch: 1, Sequence: uint64(len(f.got))}
	}
	return receipts, nil
}

func (f *fake) Online(ctx context.Context, ids []channel.ID) ([]int, error) {
	if f.online != nil {
		return f.online(ctx, ids)
	}
	return make([]int, len(ids)), nil
}

func (f *fake) PutProcess(_ context.Context, p proto.Process) error {
	f.puts = append(f.puts, p)
	return nil
}

func (f *fake) DropProcess(_ context.Context, id string) error {
	f.drops = append(f.drops, id)
	return nil
}

func (f *fake) Processes(ctx context.Context) ([]proto.Process, error) {
	if f.processes != nil {
		return f.processes(ctx)
	}
	return nil, nil
}

// settings has the settings of a publisher and of its only portal.
type settings struct {
	Config
	portal.Portal
}

// config returns the default settings of the program, with a key.
func config(tb testing.TB) settings {
	c := settings{Portal: portal.Portal{Signer: testkit.Signer(testKey), Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}}}
	c.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	if err := c.Rules.UnmarshalText([]byte("im_startWriting=2m,online_*=2m,*=24h")); err != nil {
		tb.Fatal(err)
	}
	return c
}

func newPublisher(c settings, f *fake) *Publisher {
	return newLogging(c, f, slog.New(slog.DiscardHandler))
}

func newLogging(c settings, f *fake, logger *slog.Logger) *Publisher {
	table, err := portal.NewTable(&c.Portal)
	if err != nil {
		panic(err)
	}
	return New(c.Config, table, func(string) Log { return f }, f, logger, prometheus.NewRegistry())
}

// request returns a request from loopback. Its target is not checked, as a real server does not
// either.
func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.RemoteAddr = "127.0.0.1:5000"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded") // what PHP says of every post
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{})))
}

func (p *Publisher) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	return w
}

// check compares an answer with a vector: the headers that the vector names, and everything else
// that the protocol specifies.
func check(t *testing.T, w *httptest.ResponseRecorder, want vectors.HTTP) {
	t.Helper()
	if w.Code != want.Status || w.Body.String() != want.Body {
		t.Errorf("%s: %d %q, want %d %q", want.Request, w.Code, w.Body, want.Status, want.Body)
	}
	for _, name := range []string{"Content-Type", "Access-Control-Allow-Origin"} {
		if wanted, named := want.Headers[name]; (named || want.Generation == 1) && w.Header().Get(name) != wanted {
			t.Errorf("%s: %s %q, want %q", want.Request, name, w.Header().Get(name), wanted)
		}
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain" {
		t.Errorf("%s: Content-Type %q", want.Request, got)
	}
}

func ref(tb testing.TB, list string) channel.Ref {
	tb.Helper()
	refs, err := channel.Hex.ParseList(list, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return refs[0]
}
