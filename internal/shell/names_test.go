package shell

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	testKey = "a key of the tests of shell"
	one     = "6b1f0c2e9a7d4853b0e6f1a2c3d49587"
	public  = "d41c8e2f7b9a40638c15e0f6a7b3d294"
	digits  = "12345678901234567890123456789012" // an id, and no user
)

func testPortal() *portal.Portal { return &portal.Portal{Signer: testkit.Signer(testKey)} }

func TestParseNames(t *testing.T) {
	signed := testkit.Signer(testKey).Sign(channel.Ref{Private: testkit.ParseChannel(one), Public: testkit.ParseChannel(public)}).String()
	for _, c := range []struct {
		words string
		want  string // labels of the channels; "" is an error
	}{
		{one, "6b1f0c…"},
		{digits, "123456…"},
		{"7 user:7 " + one, "6b1f0c… user:7"},
		{one + ":" + public, "6b1f0c… public:d41c8e…"},
		{signed + "/" + digits, "6b1f0c… public:d41c8e… 123456…"},
		{strings.NewReplacer(":", "%3A", "/", "%2F").Replace(signed + "/" + digits), "6b1f0c… public:d41c8e… 123456…"},
		{"0", ""},
		{"user:x", ""},
		{"user:-7", ""},
		{"99999999999999999999", ""},
		{strings.ToUpper(one), ""},
		{one + "/", ""},
		{one + ".123", ""},
		{one + "%zz", ""},
	} {
		names, err := ParseNames(strings.Fields(c.words), channel.Hex)
		var labels []string
		for _, id := range names.Channels() {
			labels = append(labels, label(id))
		}
		if got := strings.Join(labels, " "); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", c.words, got, err)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), one[:12]) {
			t.Errorf("the error shows an id: %v", err)
		}
	}
}

// TestQuery: what a portal has signed is sent as it stands, the rest is signed, and a user gets a
// token.
func TestQuery(t *testing.T) {
	other := testkit.Signer("a key of another portal").Sign(channel.Ref{Private: testkit.ParseChannel(one)}).String()
	parse := func(words ...string) Names {
		names, err := ParseNames(words, channel.Hex)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	q, err := parse(other, digits).query(testPortal(), time.Now())
	if want := other + "/" + testkit.Signer(testKey).Sign(channel.Ref{Private: testkit.ParseChannel(digits)}).String(); err != nil || q.Get("CHANNEL_ID") != want {
		t.Errorf("%v, %v", q, err)
	}
	p := testPortal()
	p.HostID, p.ClientID = "a host", "a client"
	q, err = parse("7", one).query(p, time.Now())
	if err != nil || q.Get("clientId") != "a client" {
		t.Fatal(q, err)
	}
	token, err := p.Signer.ParseToken(q.Get("token"), "a host", time.Now())
	if err != nil || token.User != 7 || len(token.Channels) != 1 || time.Until(token.Expires) > 2*time.Hour {
		t.Errorf("%+v, %v", token, err)
	}
	for _, words := range [][]string{{"7", "8"}, {"7", one + ":" + public}} {
		if q, err := parse(words...).query(p, time.Now()); err == nil {
			t.Errorf("%v: %v", words, q)
		}
	}
}
