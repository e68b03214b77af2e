package original

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/config"
	"pushgate/internal/testkit"
)

const key = "0123456789abcdefghij"

// allow is what a publisher gets that other machines reach.
const allow = " PUSHGATE_PUBLISH_ALLOW=" + PrivateNetworks

// TestDeployments translates exactly the variables that each known deployment of the original sets.
func TestDeployments(t *testing.T) {
	for _, c := range []struct {
		name, environ string // separated by spaces
		role          Role
		want          string // the environment, likewise
	}{
		{"env-docker, sub", "PUSH_SECURITY_KEY=" + key + " PUSH_SUB_PORT=8010 PUSH_SUB_MODE=sub REDIS_HOST=redis REDIS_PORT=6379 TZ=Europe/Moscow", Edge,
			"TZ=Europe/Moscow PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010"},
		{"env-docker, pub", "PUSH_SECURITY_KEY=" + key + " PUSH_PUB_PORT=9010 PUSH_PUB_MODE=pub REDIS_HOST=redis REDIS_PORT=6379 RUN_DIR=/tmp/push-server PUB_URI=/bitrix/pub/ REST_URI=/bitrix/rest/ SUB_URI=/bitrix/subws/", Publisher,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:9010" + allow},
		{"bitrixdock, sub", "REDIS_HOST=redis LISTEN_HOSTNAME=0.0.0.0 LISTEN_PORT=8010 SECURITY_KEY=testtesttest MODE=sub", Edge,
			"PUSHGATE_KEYS=testtesttest PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010"},
		{"bitrixdock, pub", "REDIS_HOST=redis LISTEN_HOSTNAME=0.0.0.0 LISTEN_PORT=8010 SECURITY_KEY=testtesttest MODE=pub", Publisher,
			"PUSHGATE_KEYS=testtesttest PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010" + allow},
		{"matveynator", "REDIS_HOST=redis LISTEN_HOSTNAME=0.0.0.0 LISTEN_PORT=80 SECURITY_KEY=" + key + " MODE=sub", Edge,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:80"},
		{"ikarpovich", "REDIS_HOST=redis REDIS_PORT=6379 LISTEN_HOSTNAME=0.0.0.0 LISTEN_PORT=80 SECURITY_KEY=" + key + " MODE=pub", Publisher,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:80" + allow},
		{"rmn-lux, its defaults and a key", "LISTEN_PORT=8010 LISTEN_HOSTNAME=0.0.0.0 REDIS_HOST=redis REDIS_PORT=6379 SECURITY_KEY=" + key + " MODE=sub", Edge,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010"},
		{"no Redis named", "LISTEN_PORT=8010 SECURITY_KEY=" + key + " MODE=all", Both,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010" + allow},
		{"one process of a control script", "BASE_SUB=801 ID_SUB=0 WS_PORT=1337 WS_HOST=127.0.0.1 PUBPATH=/bitrix/pub/ SUBPATH=/bitrix/sub/ SUBWSPATH=/bitrix/subws/ RESTPATH=/bitrix/rest/ SECURITY_KEY=" + key + " REDIS_SOCK=/var/run/redis/redis-server.sock", Unset,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=unix:///var/run/redis/redis-server.sock PUSHGATE_LISTEN=127.0.0.1:8010"},
		{"the entrypoint of a machine's image", "PUSH_SERVER_KEY=" + key + " PUSHROLE=pub WS_HOST=127.0.0.1 WS_PORT=9010 REDIS_SOCK=/tmp/redis.sock", Publisher,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=unix:///tmp/redis.sock PUSHGATE_LISTEN=127.0.0.1:9010"},
		{"Helm chart, put right", "REDIS_ADDR=redis:6379 REDIS_PASSWORD=p@ss:/w?#rd SECURITY_KEY=" + key + " LISTEN_ADDR=0.0.0.0:8010 PUSH_SUB_MODE=sub MODE=sub", Edge,
			"PUSHGATE_KEYS=" + key + " PUSHGATE_REDIS_URL=redis://:p@ss:%2Fw%3F%23rd@redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:8010"},
		{"paths without their slash", "MODE=pub LISTEN_PORT=80 PUB_URI=/bitrix/pub REST_URI=/bitrix/rest REDIS_HOST=r", Publisher,
			"PUSHGATE_REDIS_URL=redis://r:6379/0 PUSHGATE_LISTEN=0.0.0.0:80" + allow},
		{"services of Kubernetes", "REDIS_PORT=tcp://10.0.0.7:6379 REDIS_SERVICE_HOST=10.0.0.7 REDIS_PORT_6379_TCP_ADDR=10.0.0.7 PUSH_SUB_PORT=tcp://10.0.0.8:80 LISTEN_FDS=1 MODE=sub LISTEN_PORT=80 REDIS_HOST=redis", Edge,
			"REDIS_PORT=tcp://10.0.0.7:6379 REDIS_SERVICE_HOST=10.0.0.7 REDIS_PORT_6379_TCP_ADDR=10.0.0.7 PUSH_SUB_PORT=tcp://10.0.0.8:80 LISTEN_FDS=1 PUSHGATE_REDIS_URL=redis://redis:6379/0 PUSHGATE_LISTEN=0.0.0.0:80"},
		{"none of theirs", "PATH=/bin HOME=/root MODE=production REDIS_TLS=no PUSHGATE_KEYS=" + key, Unset,
			"PATH=/bin HOME=/root MODE=production REDIS_TLS=no PUSHGATE_KEYS=" + key},
		{"set, but empty", "MODE= SECURITY_KEY= REDIS_HOST= PUSHGATE_KEYS=" + key, Unset, "MODE= SECURITY_KEY= REDIS_HOST= PUSHGATE_KEYS=" + key},
		{"a common name", "MODE=production PUSHGATE_KEYS=" + key, Unset, "MODE=production PUSHGATE_KEYS=" + key},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Translate(strings.Fields(c.environ))
			if err != nil {
				t.Fatal(err)
			}
			if diff := testkit.Diff(strings.ReplaceAll(c.want, " ", "\n"), strings.Join(got.Environ, "\n")); diff != "" {
				t.Error(diff)
			}
			if got.Role != c.role {
				t.Errorf("role %v, want %v", got.Role, c.role)
			}
			if again, err := Translate(got.Environ); err != nil || !slices.Equal(again.Environ, got.Environ) {
				t.Errorf("translated twice: %v, %v", again.Environ, err)
			}
		})
	}
}

// TestOursWin: a variable of pushgate makes theirs void, and that is said.
func TestOursWin(t *testing.T) {
	got, err := Translate([]string{"MODE=pub", "SECURITY_KEY=a,b", "REDIS_HOST=redis", "REDIS_PORT=wrong", "LISTEN_PORT=80", "PUSHGATE_KEYS=" + key,
		"PUSHGATE_REDIS_URL=redis://ours/0", "PUSHGATE_LISTEN=unix:/run/p.sock", "PUSHGATE_PUBLISH_ALLOW="})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PUSHGATE_KEYS=" + key, "PUSHGATE_REDIS_URL=redis://ours/0", "PUSHGATE_LISTEN=unix:/run/p.sock", "PUSHGATE_PUBLISH_ALLOW="}
	if !slices.Equal(got.Environ, want) || got.Role != Publisher {
		t.Errorf("%v as %v", got.Environ, got.Role)
	}
	notes := strings.Join(got.Notes, "\n")
	for _, note := range []string{
		"PUSHGATE_KEYS is set, so SECURITY_KEY has no effect.",
		"PUSHGATE_REDIS_URL is set, so REDIS_HOST and REDIS_PORT have no effect.",
		"PUSHGATE_LISTEN is set, so LISTEN_PORT has no effect.",
	} {
		if !strings.Contains(notes, note) {
			t.Errorf("no note %q in\n%s", note, notes)
		}
	}
	// An empty one is not set: the original's counts.
	if got, err = Translate([]string{"MODE=sub", "SECURITY_KEY=" + key, "PUSHGATE_KEYS=", "LISTEN_PORT=1", "REDIS_HOST=r"}); err != nil ||
		!slices.Contains(got.Environ, "PUSHGATE_KEYS="+key) {
		t.Errorf("%v, %v", got.Environ, err)
	}
}

// TestNoteOfWhoMayPost: a note says that private networks may post, unless the publisher
// is not reached from any, or the operator has said who may.
func TestNoteOfWhoMayPost(t *testing.T) {
	for environ, noted := range map[string]bool{
		"MODE=pub LISTEN_PORT=1":                                    true,
		"MODE=all LISTEN_PORT=1":                                    true,
		"MODE=sub LISTEN_PORT=1":                                    false,
		"MODE=pub LISTEN_PORT=1 LISTEN_HOSTNAME=127.0.0.1":          false,
		"MODE=pub LISTEN_PORT=1 PUSHGATE_PUBLISH_ALLOW=10.1.2.3":    false,
		"MODE=pub PUSHGATE_LISTEN=0.0.0.0:1":                        true,
		"MODE=pub PUSHGATE_LISTEN=unix:/run/p.sock":                 false,
		"MODE=pub LISTEN_PORT=1 LISTEN_HOSTNAME=::1 REDIS_HOST=::1": false,
	} {
		got, err := Translate(strings.Fields(environ))
		if err != nil {
			t.Errorf("%s: %v", environ, err)
		}
		if strings.Contains(strings.Join(got.Notes, " "), "private networks") != noted {
			t.Errorf("%s: %q", environ, got.Notes)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ environ, want string }{
		{"MODE=master LISTEN_PORT=80", `MODE: "master" is not a role (sub for an edge`},
		{"MODE=sub PUSHROLE=pub LISTEN_PORT=80", "PUSHROLE: it contradicts MODE, which makes this process the edge"},
		{"PUSH_SUB_MODE=1 LISTEN_ADDR=0.0.0.0:8010", `PUSH_SUB_MODE: "1" is not understood, nor does the original's image accept it (PUSH_SUB_MODE=sub)`},
		{"PUSH_PUB_MODE=pub PUSH_SUB_MODE=sub PUSH_SUB_PORT=1", "PUSH_PUB_MODE: it contradicts PUSH_SUB_MODE"},
		{"MODE=sub", "LISTEN_PORT: it is not set, and the original's images differ"},
		{"PUSH_SUB_MODE=sub", "PUSH_SUB_PORT: it is not set"},
		{"PUSH_PUB_MODE=pub", "PUSH_PUB_PORT: it is not set"},
		{"MODE=sub LISTEN_PORT=http", `LISTEN_PORT: "http" is not a port`},
		{"MODE=sub LISTEN_PORT=0", `LISTEN_PORT: "0" is not a port`},
		{"MODE=sub LISTEN_PORT=80 LISTEN_ADDR=:81", "LISTEN_PORT: 80 contradicts LISTEN_ADDR, which is 81"},
		{"MODE=sub LISTEN_PORT=80 LISTEN_HOSTNAME=::1 WS_HOST=::2", `WS_HOST: "::2" contradicts LISTEN_HOSTNAME`},
		{"MODE=all PUSH_SUB_PORT=8010 PUSH_PUB_PORT=9010", "PUSH_PUB_PORT: 9010 contradicts PUSH_SUB_PORT, which is 8010 (one port"},
		{"BASE_SUB=801 ID_SUB=5 SECURITY_KEY=x", "BASE_SUB: with ID_SUB it asks for 6 processes, on the ports 8010 to 8015"},
		{"BASE_PUB=901 ID_PUB=x", `BASE_PUB: with ID_PUB it makes no ports: the last id "x" is not a digit`},
		{"BASE_PUB=6553 ID_PUB=9", "65539 is not a port"},
		{"SECURITY_KEY=secret-one PUSH_SECURITY_KEY=secret-two", "PUSH_SECURITY_KEY: it is not the same key as SECURITY_KEY"},
		{"SECURITY_KEY=secret,one", "SECURITY_KEY: the key contains a comma"},
		{"REDIS_PORT=6380", "REDIS_HOST: it is not set, but REDIS_PORT is"},
		{"REDIS_HOST=a REDIS_ADDR=b:6379", "REDIS_ADDR: it contradicts REDIS_HOST"},
		{"REDIS_HOST=a REDIS_PORT=secret", "REDIS_HOST: with the other REDIS_ variables it makes no address of a Redis server"},
		{"REDIS_ADDR=redis://:secret@h:1", "REDIS_ADDR: with the other"},
		{"REDIS_SOCK=redis.sock", "REDIS_SOCK: it is not an absolute path"},
		{"PUB_URI=/push/pub/", `PUB_URI: pushgate does not serve the path "/push/pub/" (/bitrix/pub/; if clients`},
		{"SUBWSPATH=/bitrix/pub/", "SUBWSPATH: pushgate does not serve"},
		{"PUB_URI=/bitrix/pub//", "PUB_URI: pushgate does not serve"},
		{"IP_LIST=127.0.0.1 SECURITY_KEY=x", "IP_LIST: it chooses the clients whose requests the original logs"},
		{"MAX_MEMORY=200 SECURITY_KEY=x", "MAX_MEMORY: it limits the heap of Node.js (leave it out, or GOMEMLIMIT"},
		{"SECURITY_KEY=x REDIS_TLS=yes", "REDIS_TLS: no image of the original knows it (leave it out, or use REDIS_"},
		{"SECURITY_KEY=x PUSH_SUB_PROT=1", "or use PUSH_SUB_PORT)"},
		{"SECURITY_KEY=x API_URI=/bitrix/api/", "API_URI: no image"},
	} {
		_, err := Translate(strings.Fields(c.environ))
		var faults config.Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.environ, err, c.want)
			continue
		}
		if len(faults) != 1 {
			t.Errorf("%s: more than one fault: %v", c.environ, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a secret in %v", c.environ, err)
		}
	}
}

// TestAllFaultsAtOnce: nobody should have to start a container once for each mistake.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Translate([]string{"MODE=x", "LISTEN_PORT=y", "SECURITY_KEY=a,b", "REDIS_SOCK=z", "PUB_URI=/p", "IP_LIST=q", "PUSH_X=1"})
	for _, name := range []string{"MODE", "LISTEN_PORT", "SECURITY_KEY", "REDIS_SOCK", "PUB_URI", "IP_LIST", "PUSH_X"} {
		if !strings.Contains(err.Error(), "\n  "+name+": ") {
			t.Errorf("%s is not in %v", name, err)
		}
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add("MODE=sub LISTEN_PORT=80 REDIS_HOST=r SECURITY_KEY=k")
	f.Add("BASE_SUB=801 ID_SUB=0 REDIS_ADDR=[::1]:1 PUSHGATE_LISTEN=x WS_HOST=[")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Translate(strings.Fields(text))
		if err != nil {
			return
		}
		if again, err := Translate(got.Environ); err != nil || !slices.Equal(again.Environ, got.Environ) {
			t.Errorf("translated twice: %q, %v", again.Environ, err)
		}
	})
}
