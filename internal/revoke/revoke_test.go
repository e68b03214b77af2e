package revoke_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/revoke"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

const key = "a key of the tests"

func TestEntries(t *testing.T) {
	signer, now := testkit.Signer(key), time.Now()
	one, two, shared := testkit.Channel(1), testkit.Channel(2), testkit.Channel(3)
	signed := func(s *sign.Signer, refs ...channel.Ref) string {
		var parts []string
		for _, ref := range refs {
			parts = append(parts, s.Sign(ref).String())
		}
		return strings.Join(parts, "/")
	}
	own := signed(signer, channel.Ref{Private: one, Public: two})
	all := signed(signer, channel.Ref{Private: shared})
	named := signer.SignToken(sign.Token{User: 5, ID: "a tab", Expires: now.Add(time.Hour)}, "host", now)
	plain := signer.SignToken(sign.Token{User: 5, Expires: now.Add(time.Hour)}, "host", now)
	for _, c := range []struct {
		what   string
		target revoke.Target
		want   []revoke.Entry
		err    error
	}{
		{"a user", revoke.Target{User: 17}, []revoke.Entry{"user:17"}, nil},
		{"the id of a token", revoke.Target{TokenID: "a tab"}, []revoke.Entry{revoke.Token(revoke.TokenID("a tab"))}, nil},
		{"a token with an id", revoke.Target{Token: named}, []revoke.Entry{revoke.Token(revoke.TokenID("a tab"))}, nil},
		{"a token without an id", revoke.Target{Token: plain}, []revoke.Entry{revoke.Token(revoke.TokenOf("", plain))}, nil},
		{"a bare id", revoke.Target{Channel: one.String()}, []revoke.Entry{revoke.Channel(one)}, nil},
		{"one part of a list", revoke.Target{Channel: all}, []revoke.Entry{revoke.Channel(shared)}, nil},
		// Or everybody who watches the shared channel were put out.
		{"the list of a client", revoke.Target{Channel: own + "/" + all}, []revoke.Entry{revoke.Channel(one)}, nil},
		{"a list that names nobody", revoke.Target{Channel: all + "/" + signed(signer, channel.Ref{Private: two})}, nil, revoke.ErrShared},
		{"another key's list", revoke.Target{Channel: signed(testkit.Signer("another key of 16"), channel.Ref{Private: one})}, nil, revoke.ErrUnsigned},
		{"a list of which one part is another key's", revoke.Target{Channel: own + "/" + signed(testkit.Signer("another key of 16"), channel.Ref{Private: shared})}, nil, revoke.ErrUnsigned},
		{"what a log shows", revoke.Target{Channel: one.String()[:6] + "…"}, nil, revoke.ErrMalformed},
		{"another host's token", revoke.Target{Token: signer.SignToken(sign.Token{User: 5, Expires: now.Add(time.Hour)}, "another", now)}, nil, revoke.ErrToken},
		{"an expired token", revoke.Target{Token: signer.SignToken(sign.Token{User: 5, Expires: now.Add(-time.Hour)}, "host", now.Add(-2*time.Hour))}, nil, revoke.ErrToken},
		{"nothing", revoke.Target{}, nil, revoke.ErrTarget},
		{"nobody", revoke.Target{User: -1}, nil, revoke.ErrTarget},
		{"two", revoke.Target{User: 1, TokenID: "x"}, nil, revoke.ErrTarget},
		{"two more", revoke.Target{Token: plain, Channel: one.String()}, nil, revoke.ErrTarget},
		{"a long id", revoke.Target{TokenID: strings.Repeat("x", revoke.MaxTokenID+1)}, nil, revoke.ErrTarget},
	} {
		got, err := c.target.Entries(signer, "host", channel.Hex, now)
		if !errors.Is(err, c.err) || !testkit.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v, %v", c.what, got, err, c.want, c.err)
		}
	}
}

// TestTokensAreKnownByWhatIsSigned: the last characters of a signature can be written in several
// ways, and the token is the same.
func TestTokensAreKnownByWhatIsSigned(t *testing.T) {
	if revoke.TokenOf("", "head.claims.one") != revoke.TokenOf("", "head.claims.two") {
		t.Error("two spellings of a signature are two tokens")
	}
	if revoke.TokenOf("", "head.claims.x") == revoke.TokenOf("", "head.others.x") || revoke.TokenOf("a", "x.y") != revoke.TokenID("a") {
		t.Error("two tokens are one")
	}
	// Neither must be taken for the other by who can choose one of them.
	if revoke.TokenID("head.claims") == revoke.TokenOf("", "head.claims.x") {
		t.Error("the id of a token is taken for the text of another")
	}
}

func TestHas(t *testing.T) {
	now := time.Now()
	out := now.Add(time.Hour).Unix()
	one, two := testkit.Channel(1), testkit.Channel(2)
	list := revoke.List{revoke.User(17): out, revoke.Token(revoke.TokenID("tab")): out, revoke.Channel(one): out, revoke.User(18): now.Unix()}
	for _, c := range []struct {
		what   string
		client revoke.Client
		want   bool
	}{
		{"the user", revoke.Client{User: 17}, true},
		{"the token", revoke.Client{User: 1, Token: revoke.TokenID("tab")}, true},
		{"the channel among others", revoke.Client{Channels: []channel.ID{two, channel.ForUser(3), one}}, true},
		{"one whose time is over", revoke.Client{User: 18}, false},
		{"another", revoke.Client{User: 19, Token: revoke.TokenID("x"), Channels: []channel.ID{two, channel.ForUser(17)}}, false},
		{"nobody", revoke.Client{}, false},
	} {
		if got := list.Has(c.client, now); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
	}
	list.Prune(now)
	if len(list) != 3 {
		t.Errorf("%d are left, want 3", len(list))
	}
	list.Apply(revoke.Note{Entry: revoke.User(17)})
	list.Apply(revoke.Note{Entry: revoke.User(20), Until: out})
	if list.Has(revoke.Client{User: 17}, now) || !list.Has(revoke.Client{User: 20}, now) {
		t.Error("notes do not apply")
	}
}

func TestUntil(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		until, want time.Time
		err         error
	}{
		{time.Time{}, now.Add(revoke.DefaultLife), nil},
		{now.Add(time.Minute), now.Add(time.Minute), nil},
		{now, time.Time{}, revoke.ErrUntil},
		{now.Add(-time.Hour), time.Time{}, revoke.ErrUntil},
		{now.Add(revoke.MaxLife + time.Hour), time.Time{}, revoke.ErrUntil},
	} {
		got, err := revoke.Until(c.until, now)
		if !errors.Is(err, c.err) || err == nil && !got.Equal(c.want.Truncate(time.Second)) {
			t.Errorf("%v: %v, %v", c.until, got, err)
		}
	}
}

// TestNothingSecretIsShown: an entry has no secret, and is shortened where it is shown.
func TestNothingSecretIsShown(t *testing.T) {
	id := testkit.Channel(1)
	entry := revoke.Channel(id)
	if strings.Contains(string(entry), id.String()[:8]) || len(entry.Short()) > 20 || !strings.HasPrefix(entry.Short(), "channel ") {
		t.Errorf("%s, in short %s", entry, entry.Short())
	}
	if got := revoke.User(17); got.Short() != "user 17" || got.User() != 17 || entry.User() != 0 {
		t.Errorf("%s is %s, of user %d", got, got.Short(), got.User())
	}
}

// FuzzParseNote: a note that is taken is one that this package writes, with an entry in its one
// spelling: a second one would not be lifted by the first.
func FuzzParseNote(f *testing.F) {
	for _, n := range []revoke.Note{{Entry: revoke.User(17), Until: 1}, {Entry: revoke.User(1<<63 - 1)}, {Entry: revoke.Token(revoke.TokenID("x")), Until: 1 << 40}, {Entry: revoke.Channel(testkit.Channel(1))}} {
		got, err := revoke.ParseNote(n.Body())
		if err != nil || got != n {
			f.Errorf("%s: %+v, %v", n.Body(), got, err)
		}
		f.Add(n.Body())
	}
	for _, text := range []string{``, `{}`, `null`, `{"entry":"user:017"}`, `{"entry":"user:0"}`, `{"entry":"user:-1"}`, `{"entry":"user:17","until":-1}`, `{"entry":"token:AB"}`,
		`{"entry":"channel:` + strings.Repeat("A", 32) + `"}`, `{"entry":"channel:` + strings.Repeat("a", 34) + `"}`, `{"entry":"other:17"}`, `{"entry":"user:17` + strings.Repeat(" ", 300) + `"}`} {
		if n, err := revoke.ParseNote([]byte(text)); err == nil {
			f.Errorf("%s: %+v", text, n)
		}
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := revoke.ParseNote(body)
		if err != nil {
			if n != (revoke.Note{}) {
				t.Errorf("%+v and %v", n, err)
			}
			return
		}
		if again, err := revoke.ParseNote(n.Body()); err != nil || again != n || n.Until < 0 {
			t.Errorf("%+v comes back as %+v, %v", n, again, err)
		}
		if user := n.Entry.User(); user != 0 && revoke.User(user) != n.Entry {
			t.Errorf("%q is another spelling of user %d", n.Entry, user)
		}
	})
}

// BenchmarkHas is what a connection costs that comes while a portal has put out as many as it may.
func BenchmarkHas(b *testing.B) {
	now := time.Now()
	list := make(revoke.List)
	for i := range int64(revoke.MaxEntries) {
		list[revoke.User(i+1)] = now.Add(time.Hour).Unix()
	}
	client := revoke.Client{User: revoke.MaxEntries + 1, Token: revoke.TokenID("a tab"), Channels: []channel.ID{channel.ForUser(5), testkit.Channel(1), testkit.Channel(2)}}
	b.ReportAllocs()
	for b.Loop() {
		if list.Has(client, now) {
			b.Fatal("put out")
		}
	}
}
