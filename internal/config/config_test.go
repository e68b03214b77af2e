package config

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

var update = flag.Bool("update", false, "write the table into docs/configuration.md")

const key = "PUSHGATE_KEYS=0123456789abcdef"

func TestDefaults(t *testing.T) {
	e, err := LoadEdge([]string{key, "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := LoadPublisher([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"redis", e.RedisURL, "redis://127.0.0.1:6379/0"},
		{"edge listen", e.Listen, "127.0.0.1:8010"},
		{"publisher listen", p.Listen, "127.0.0.1:9010"},
		{"admin", e.AdminListen, "127.0.0.1:0"},
		{"algorithm", e.SignatureAlgo, "sha1"},
		{"times", fmt.Sprint(e.PollTimeout, e.PingInterval, e.Drain, e.WriteWindow), "40s 25s 10s 0s"},
		{"sizes", fmt.Sprint(e.MaxPayload, e.ChannelCap), "1048576 10000"},
		{"origins", fmt.Sprint(e.Origins), "[*]"},
		{"allow", fmt.Sprint(p.Allow), "[127.0.0.0/8 ::1/128]"},
		{"signed, admin public", fmt.Sprint(p.Signed, p.AdminPublic), "false false"},
		{"grammar", fmt.Sprint(p.Grammar == channel.Hex), "true"},
		{"log", e.LogFormat + e.LogLevel.String(), "jsonINFO"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	if got := p.TTLRules.TTL("im_startWriting", 0); got != 2*time.Minute {
		t.Errorf("typing lives %v", got)
	}
	if !strings.HasSuffix(e.ID, fmt.Sprint("-", os.Getpid())) {
		t.Errorf("id %q", e.ID)
	}
	if ref := p.signer.Sign(channel.Ref{}); !p.signer.Verify(ref) {
		t.Error("the signer does not verify what it signed")
	}
}

func TestValues(t *testing.T) {
	p, err := LoadPublisher([]string{
		"PUSHGATE_KEYS=0123456789abcdef,fedcba9876543210",
		"PUSHGATE_REDIS_URL=unix:///run/redis.sock",
		"PUSHGATE_SIGNATURE_ALGO=sha256",
		"PUSHGATE_CHANNEL_GRAMMAR=1",
		"PUSHGATE_LISTEN=unix:/run/p.sock",
		"PUSHGATE_ADMIN_LISTEN=0.0.0.0:9100",
		"PUSHGATE_ADMIN_PUBLIC=true",
		"PUSHGATE_PUBLISH_ALLOW=10.0.0.0/8, 192.0.2.7,2001:db8::/32,::ffff:198.51.100.0/120",
		"PUSHGATE_CHANNEL_WRITE_WINDOW=12h",
		"PUSHGATE_LOG_LEVEL=debug",
		"PUSHGATE_ID=pub-1",
		"PUSHGATE_DRAIN=",             // empty is not set
		"PUSHGATE_POLL_TIMEOUT=never", // an edge's: the two share an environment file
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Networks{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("198.51.100.0/24"),
	}
	if diff := testkit.Diff(fmt.Sprint(want), fmt.Sprint(p.Allow)); diff != "" {
		t.Error(diff)
	}
	if p.Grammar != channel.Alphanumeric || p.WriteWindow != 12*time.Hour || p.LogLevel != slog.LevelDebug || p.Drain != 10*time.Second {
		t.Errorf("got %v %v %v %v", p.Grammar, p.WriteWindow, p.LogLevel, p.Drain)
	}
	second, _ := sign.New("sha256", []byte("fedcba9876543210"))
	if !p.signer.VerifyBody([]byte("x"), second.SignBody([]byte("x"))) {
		t.Error("the second key does not verify")
	}
	if p.signer.SignBody([]byte("x")) == second.SignBody([]byte("x")) {
		t.Error("the second key signs")
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		environ string // space-separated, after the key
		want    string // a part of the only line
	}{
		{"PUSHGATE_KEY=x", "PUSHGATE_KEY: unknown variable (did you mean PUSHGATE_KEYS?)"},
		{"PUSHGATE_POLLTIMEOUT=1s", "did you mean PUSHGATE_POLL_TIMEOUT?"},
		{"PUSHGATE_KEYS=short", "PUSHGATE_KEYS: key 1 has 5 bytes, fewer than 16"},
		{"PUSHGATE_KEYS=0123456789abcdef,0123", "PUSHGATE_KEYS: key 2 has 4 bytes"},
		{"PUSHGATE_KEYS=", "PUSHGATE_KEYS: it is not set"},
		{"PUSHGATE_KEYS=0123456789abcdef,", "key 2 has 0 bytes"},
		{"PUSHGATE_SIGNATURE_ALGO=crc32", `PUSHGATE_SIGNATURE_ALGO: unknown signature algorithm "crc32"`},
		{"PUSHGATE_REDIS_URL=http://u:secret@h/", "PUSHGATE_REDIS_URL: invalid address of a Redis server"},
		{"PUSHGATE_REDIS_URL=unix://", "PUSHGATE_REDIS_URL"},
		{"PUSHGATE_REDIS_URL=redis+sentinel://u:secret@a,b", "PUSHGATE_REDIS_URL: invalid address of a Redis server: no name of the master"},
		{"PUSHGATE_REDIS_URL=redis+cluster://u:secret@a,b/1", "a cluster has no databases"},
		{"PUSHGATE_REDIS_URL=redis://u:secret@[/", "PUSHGATE_REDIS_URL"},
		{"PUSHGATE_LISTEN=8010", `PUSHGATE_LISTEN: invalid address "8010" (host:port or unix:/path)`},
		{"PUSHGATE_LISTEN=127.0.0.1:http", "PUSHGATE_LISTEN"},
		{"PUSHGATE_LISTEN=127.0.0.1:65536", "PUSHGATE_LISTEN"},
		{"PUSHGATE_LISTEN=unix:run/x.sock", "is not absolute"},
		{"PUSHGATE_ADMIN_LISTEN=:9100", "or set PUSHGATE_ADMIN_PUBLIC=true"},
		{"PUSHGATE_ADMIN_LISTEN=10.0.0.1:9100", "other machines can reach"},
		{"PUSHGATE_ADMIN_LISTEN=nonsense", `invalid address "nonsense"`},
		{"PUSHGATE_ADMIN_PUBLIC=yes", `PUSHGATE_ADMIN_PUBLIC: invalid value "yes" (true or false)`},
		{"PUSHGATE_POLL_TIMEOUT=40", "PUSHGATE_POLL_TIMEOUT: "},
		{"PUSHGATE_POLL_TIMEOUT=-40s", "-40s is out of bounds (from 100ms to 1h0m0s)"},
		{"PUSHGATE_PING_INTERVAL=0", "PUSHGATE_PING_INTERVAL: 0s is out of bounds"},
		{"PUSHGATE_MAX_PAYLOAD=0", "PUSHGATE_MAX_PAYLOAD: 0 is out of bounds"},
		{"PUSHGATE_MAX_PAYLOAD=67108865", "from 1 to 67108864"},
		{"PUSHGATE_MAX_PAYLOAD=1M", `invalid value "1M" (a whole number)`},
		{"PUSHGATE_CHANNEL_CAP=0", "PUSHGATE_CHANNEL_CAP"},
		{"PUSHGATE_CHANNEL_GRAMMAR=3", `PUSHGATE_CHANNEL_GRAMMAR: unknown generation "3" (1 or 2)`},
		{"PUSHGATE_CHANNEL_WRITE_WINDOW=-1s", "PUSHGATE_CHANNEL_WRITE_WINDOW"},
		{"PUSHGATE_DRAIN=-1s", "PUSHGATE_DRAIN"},
		{"PUSHGATE_LOG_LEVEL=loud", "(debug, info, warn or error)"},
		{"PUSHGATE_LOG_FORMAT=xml", `PUSHGATE_LOG_FORMAT: unknown format "xml"`},
		{"PUSHGATE_ID=a:b", "PUSHGATE_ID"},
		{"PUSHGATE_WAIT_REPLICAS=im_message", "PUSHGATE_WAIT_REPLICAS: "},
		{"PUSHGATE_WAIT_REPLICAS=im_message=17", "replicas must be from 0 to 16 (rules such as im_message=1"},
		{"PUSHGATE_ORIGINS=[a", `PUSHGATE_ORIGINS: invalid host pattern "[a"`},
		{"PUSHGATE_ORIGINS=a,,b", "PUSHGATE_ORIGINS"},
	} {
		_, err := LoadEdge(append([]string{key}, strings.Fields(c.environ)...))
		checkFault(t, c.environ, err, c.want)
	}
	for _, c := range []struct{ environ, want string }{
		{"PUSHGATE_TTL_RULES=*=25h", "PUSHGATE_TTL_RULES: "},
		{"PUSHGATE_PUBLISH_ALLOW=10.1.2.3/8", `invalid network "10.1.2.3/8"`},
		{"PUSHGATE_PUBLISH_ALLOW=localhost", `invalid network "localhost" (comma-separated networks such as 10.0.0.0/8,192.0.2.7)`},
		{"PUSHGATE_PUBLISH_ALLOW=::ffff:0.0.0.0/0", "invalid network"},
		{"PUSHGATE_SIGNATURE_WINDOW=100ms", "from 1s to 5m0s"},
		{"PUSHGATE_MAX_UNPROVEN_BYTES=1000", "PUSHGATE_MAX_UNPROVEN_BYTES"},
		{"PUSHGATE_PUBLISH_SIGNED=perhaps", "PUSHGATE_PUBLISH_SIGNED"},
		{"PUSHGATE_LISTEN=x", "PUSHGATE_LISTEN"},
		{"PUSHGATE_MIRROR_URL=127.0.0.1:9020", "PUSHGATE_MIRROR_URL: "},
		{"PUSHGATE_MIRROR_URL=ftp://me:secret@h", "the scheme is neither http nor https (http://HOST:PORT or"},
		{"PUSHGATE_MIRROR_URL=http://me:secret@:80", "there is no host"},
		{"PUSHGATE_MIRROR_URL=http://me:secret@h/bitrix/pub/", "there is more than a host: posts keep their paths"},
		{"PUSHGATE_MIRROR_URL=http://me:secret@h:port/", "invalid address of a server"},
		{"PUSHGATE_SHARED_HOST=push.example.com", "PUSHGATE_SHARED_HOST: it is set, and PUSHGATE_PORTALS is not"},
		{"PUSHGATE_SHARED_HOST=https://push.example.com", `PUSHGATE_SHARED_HOST: invalid host "https://push.example.com" (push.example.com or push.example.com:8443: portals`},
		{"PUSHGATE_SHARED_HOST=push.example.com/", "invalid host"},
		{"PUSHGATE_SHARED_HOST=a;b", "invalid host"},
		{"PUSHGATE_SHARED_HOST=me@push.example.com", "invalid host"},
		{"PUSHGATE_SHARED_HOST=*.example.com", "invalid host"},
		{"PUSHGATE_SHARED_HOST=::1", "invalid host"},
		{"PUSHGATE_SHARED_HOST=push.example.com:65536", `invalid port "65536"`},
	} {
		_, err := LoadPublisher(append([]string{key}, strings.Fields(c.environ)...))
		checkFault(t, c.environ, err, c.want)
	}
}

func checkFault(t *testing.T, environ string, err error, want string) {
	t.Helper()
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v; want one fault: %s", environ, err, want)
		return
	}
	if faults[0].Hint == "" {
		t.Errorf("%s: no hint", environ)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: %v", environ, err)
	}
}

// TestServe: one process for both sides has the settings of both, and checks them.
func TestServe(t *testing.T) {
	s, err := LoadServe([]string{key, "PUSHGATE_ID=here", "PUSHGATE_POLL_TIMEOUT=20s", "PUSHGATE_PUBLISH_ALLOW=10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	e, p := s.Edge(), s.Publisher()
	if s.Listen != "127.0.0.1:8893" || e.PollTimeout != 20*time.Second || fmt.Sprint(p.Allow) != "[10.0.0.0/8]" || e.ID != "here" || p.ID == e.ID {
		t.Errorf("%s %v %v %s %s", s.Listen, e.PollTimeout, p.Allow, e.ID, p.ID)
	}
	for _, c := range []struct{ environ, want string }{
		{"PUSHGATE_POLL_TIMEOUT=-40s", "-40s is out of bounds"},
		{"PUSHGATE_SIGNATURE_WINDOW=100ms", "from 1s to 5m0s"},
		{"PUSHGATE_LISTEN=x", "PUSHGATE_LISTEN"},
		{"PUSHGATE_ADMIN_LISTEN=:9100", "PUSHGATE_ADMIN_PUBLIC=true"},
	} {
		_, err := LoadServe([]string{key, c.environ})
		checkFault(t, c.environ, err, c.want)
	}
	table, err := e.Portals()
	if err != nil || table.Personal().Limits.Connections != 100 {
		t.Errorf("%v, %v", table, err)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := LoadEdge([]string{"PUSHGATE_POLL_TIMEOUT=x", "PUSHGATE_LISTEN=x", "PUSHGATE_NONE=x", "PUSHGATE_LOG_FORMAT=x"})
	var got []string
	for _, fault := range err.(Faults) {
		got = append(got, strings.TrimPrefix(fault.Variable, Prefix))
	}
	if diff := testkit.Diff([]string{"KEYS", "LISTEN", "LOG_FORMAT", "NONE", "POLL_TIMEOUT"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeysStaySecret(t *testing.T) {
	const secret = "very-secret-key-"
	p, err := LoadPublisher([]string{"PUSHGATE_KEYS=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "keys", p.Keys, "config", p, "signer", p.signer)
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text += fmt.Sprintf(verb, p.Keys)
	}
	if hex := fmt.Sprintf("%x", secret); strings.Contains(text, secret) || strings.Contains(text, hex) {
		t.Error(text)
	}
	_, err = LoadPublisher([]string{"PUSHGATE_KEYS=" + secret + ",short-secret"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestMirrorPasswordStaysSecret: the address of a mirror may be shown, but not who calls it.
func TestMirrorPasswordStaysSecret(t *testing.T) {
	p, err := LoadPublisher([]string{key, "PUSHGATE_MIRROR_URL=https://me:secret@other.example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Mirror.URL().String(); got != "https://me:secret@other.example.com" {
		t.Error(got)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "mirror", p.Mirror, "config", p)
	text := log.String() + fmt.Sprint(p) + fmt.Sprintf("%v %+v %#v %s %q %x", p.Mirror, p, p, p.Mirror, p.Mirror, p.Mirror)
	if strings.Contains(text, "secret") || strings.Contains(text, "me:") || !strings.Contains(text, "other.example.com") {
		t.Error(text)
	}
	if none := ServerURL("").URL(); none != nil {
		t.Error(none)
	}
}

// TestSharedHost: portals in shared mode are sent to a host that is written as they store it.
func TestSharedHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "portals.json")
	if err := os.WriteFile(file, []byte(`{"portals": [{"keys": ["0123456789abcdef"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]SharedHost{
		"": "", "push.example.com": "push.example.com", "Push.Example.COM:8443": "push.example.com:8443", "192.0.2.1": "192.0.2.1", "[2001:db8::1]:443": "[2001:db8::1]:443",
	} {
		p, err := LoadPublisher([]string{"PUSHGATE_PORTALS=" + file, "PUSHGATE_SHARED_HOST=" + given})
		if err != nil || p.SharedHost != want {
			t.Errorf("%q: %q, %v", given, p.SharedHost, err)
		}
	}
}

func TestDocs(t *testing.T) {
	const name = "../../docs/configuration.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), MarkdownBegin+"\n")
	table, after, ended := strings.Cut(rest, MarkdownEnd+"\n")
	if !begun || !ended {
		t.Fatalf("%s has no lines %s and %s", name, MarkdownBegin, MarkdownEnd)
	}
	if *update {
		err := os.WriteFile(name, []byte(before+MarkdownBegin+"\n"+Markdown()+MarkdownEnd+"\n"+after), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := testkit.Diff(Markdown(), table); diff != "" {
		t.Errorf("docs/configuration.md is not what `go generate ./internal/config` writes:\n%s", diff)
	}
}

func TestEveryVariableIsExplained(t *testing.T) {
	for _, v := range variables() {
		if v.doc == "" || v.fallback() == "" {
			t.Errorf("%+v", v)
		}
	}
}
