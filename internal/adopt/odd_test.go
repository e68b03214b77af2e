package adopt

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipe: a pipe among the files does not stop adopt for ever.
func TestPipe(t *testing.T) {
	root := site(t, map[string]string{sysconf: sound})
	if err := syscall.Mkfifo(filepath.Join(root, "etc/redis.conf"), 0o600); err != nil {
		t.Skip(err)
	}
	if plan, err := run(t, Options{Root: root}); err != nil {
		t.Errorf("%v\n%s", err, plan)
	}
}

// TestLimitsOutOfBounds: what pushgate would not start with is a fault, and not in its settings.
func TestLimitsOutOfBounds(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	config := `{"servers": [{"port": 8010, "routes": {"sub": "/bitrix/subws/"}}],
 "limits": {"maxPayload": 1e9,
 "maxMessagesPerRequest": "1\nPUSHGATE_PUBLISH_ALLOW=0.0.0.0/0",
 "maxChannelsPerRequest": 50}}`
	plan, err := run(t, Options{Root: site(t, map[string]string{sysconf: sound, "etc/push-server/config.json": config}), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"config.json:2: PUSHGATE_MAX_PAYLOAD: ", "config.json:3: PUSHGATE_MAX_MESSAGES: "} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
	env := written(t, out)["pushgate.env"]
	if !strings.Contains(env, "PUSHGATE_MAX_CHANNELS=50\n") || strings.Contains(env, "MAX_PAYLOAD") || strings.Contains(env, "0.0.0.0/0") {
		t.Errorf("the settings are\n%s", env)
	}
}

// TestOddNames: names of others do not become commands of the shell, keys of YAML or commands of
// the terminal.
func TestOddNames(t *testing.T) {
	odd := "etc/logrotate.d/push; touch x"
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound, odd: "daily\nsystemctl restart push-server\x1b[2J\n", "etc/nginx/a.conf": "upstream nodejs\x1b { server a:8010; }",
	})})
	if want := "rm '/" + odd + "'"; err != nil || !strings.Contains(plan, want) || strings.ContainsRune(plan, 0x1b) {
		t.Errorf("%v, no %q in\n%q", err, want, plan)
	}
	plan, err = run(t, Options{Root: site(t, map[string]string{
		"compose.yml": "services: {'a: b': {environment: {MODE: sub, LISTEN_PORT: 80}}, c: {environment: {MODE: pub, LISTEN_PORT: 80, SECURITY_KEY: " + goodKey + "}}}",
	})})
	if err != nil || !strings.Contains(plan, "a name that compose refuses") {
		t.Errorf("%v\n%s", err, plan)
	}
}

// TestOwnNameOnLoopback: where the machine's name is an address of loopback, the programs listen on
// that, too, and nothing else is let in.
func TestOwnNameOnLoopback(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound, "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 portal1\n",
		"etc/nginx/a.conf": "upstream nodejs_sub { server portal1:8010; }\nserver { listen 80; location /bitrix/subws/ { proxy_pass http://nodejs_sub; } }",
	}), Out: out})
	files := written(t, out)
	dropIn := files["systemd/edge@.service.d/adopt.conf"]
	if err != nil || !strings.Contains(dropIn, "PUSHGATE_LISTEN=0.0.0.0:%i\n") || strings.Contains(dropIn, "IPAddressAllow") ||
		!strings.Contains(files["pushgate.env"], "PUSHGATE_PUBLISH_ALLOW=127.0.0.0/8,::1/128\n") {
		t.Errorf("%v\n%s\n%s\n%s", err, plan, dropIn, files["pushgate.env"])
	}
	if next := files["systemd/edge-next@.service.d/adopt.conf"]; next != dropIn {
		t.Errorf("an edge listens elsewhere than its successor:\n%s", next)
	}
}
