package adopt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNamesEachFault: what is known to be wrong in these deployments is in the plan, with its
// place.
func TestNamesEachFault(t *testing.T) {
	for installation, faults := range map[string][]string{
		"env-docker": {
			"confs/nginx/inc/push.conf:17: /bitrix/pub/ is public.",
			"confs/redis/redis.conf:4: Redis throws keys away when it is full (allkeys-lru)",
			"confs/redis/redis.conf:5: Redis writes no append-only file",
			".settings.php:6: the portal keeps its cache in Redis.",
			".settings.php:20: the portal posts through nginx",
			".settings.php:23: path_to_json_rpc is set, and nginx has no location for /bitrix/api/.",
			".settings.php:16: path_to_mobile_listener names port 8893, which nobody publishes.",
			".settings.php:17: path_to_mobile_listener_secure names port 8894",
		},
		"bitrixdock": {
			"docker-compose.yml:19: the signature key must be replaced",
			"docker-compose.yml:8: service redis runs Redis without a configuration",
			"nginx/conf/default.conf:20: /bitrix/pub/ is public.",
			"options.tsv:4: the portal posts through bitrix.local",
		},
		"matveynator": {
			"nginx/nginx.conf:5: nginx passes /push-server-sub on unchanged.",
			"there is no public location for /bitrix/subws/.",
			"docker-compose.yml:23: Redis is older than 7.0",
		},
		"rmn-lux": {
			"docker-compose.yml:10: the signature key must be replaced: it is published",
			"docker-compose.yml:22: IP_LIST:",
			"docker-compose.yml:19: REDIS_DB: no image of the original knows it.",
			"options.tsv:5: path_to_json_rpc has a placeholder",
		},
		"bitrixvm7": {"etc/redhat-release:1: this system is CentOS 7"},
		"bitrixvm9": {
			"etc/logrotate.d/push-server:9: the push server is restarted every night",
			"rtc-im_settings.conf:6: upstream nodejs_sub chooses by address (ip_hash).",
			"etc/redis/redis.conf:6: Redis throws keys away",
			"rtc-server.conf:2: the portal's own address for posts listens on every interface",
		},
		"awwehdev": {"docker-compose.yml:11: service app publishes the publisher's port (9010:9010) on every address"},
		"helm": {
			`values.yaml:9: PUSH_SUB_MODE: "1" is not understood`,
			"values.yaml:24: /bitrix/pub/ is public.",
			"there is no public location for /bitrix/subws/.",
			"there is no public location for /bitrix/rest/.",
		},
	} {
		plan, err := run(t, Options{Root: filepath.Join("testdata", installation)})
		if err != nil {
			t.Fatal(err)
		}
		_, wrong, _ := strings.Cut(plan, "WHAT IS WRONG TODAY")
		for _, fault := range faults {
			if !strings.Contains(wrong, fault) {
				t.Errorf("%s: no %q in %s", installation, fault, wrong)
			}
		}
	}
	for _, sound := range []string{"ikarpovich", "several-machines"} {
		if plan, err := run(t, Options{Root: filepath.Join("testdata", sound)}); err != nil || strings.Contains(plan, "WRONG") {
			t.Errorf("%s: %v\n%s", sound, err, plan)
		}
	}
}

// run returns the plan of an installation, with the portal's options beside it if there are any.
func run(t *testing.T, o Options) (plan string, err error) {
	t.Helper()
	if o.OptionsFile == "" {
		o.OptionsFile = options(o.Root)
	}
	if o.Random == nil {
		o.Random = &counter{}
	}
	var b bytes.Buffer
	err = Run(t.Context(), o, &b)
	return b.String(), err
}

// site writes files below a new root, and returns it.
func site(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	goodKey  = "a-secret-key-of-the-tests-0123456789"
	sysconf  = "etc/sysconfig/push-server-multi"
	settings = "home/bitrix/www/bitrix/.settings.php"
	sound    = "SECURITY_KEY=" + goodKey + "\nREDIS_SOCK=/run/redis.sock\n"
)

// TestBroken: what cannot be read stops the plan with a sentence that names the file, the line and
// the remedy, and nothing is written.
func TestBroken(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no JSON": {map[string]string{sysconf: sound, "etc/push-server/push-server-sub-8010.json": "{\n \"servers\": [\n  {port: 8010}\n ]\n}"},
			[]string{"etc/push-server/push-server-sub-8010.json:3: this is not JSON.", "correct it (\"node -p"}},
		"half of a config.json": {map[string]string{sysconf: sound, "etc/push-server/config.json": "{\n \"servers\": [\n  {\"port\": 8010,"},
			[]string{"etc/push-server/config.json:3: the file ends too early"}},
		"half of a .settings.php": {map[string]string{sysconf: sound, settings: "<?php\nreturn [\n 'pull' => ['value' => [\n  'signature_key' => '" + goodKey},
			[]string{settings + ":4: a string does not end: the file is not complete.", "\"php -l\" shows the place"}},
		"a .settings.php that is code": {map[string]string{sysconf: sound, settings: "<?php\nreturn require 'other.php';\n"},
			[]string{settings + ":2: the file does not return an array that is written out."}},
		"half of a sysconfig": {map[string]string{sysconf: "REDIS_SOCK=/r\nSECURITY_KEY=\"" + goodKey + "\n"},
			[]string{sysconf + ":2: a quotation mark of SECURITY_KEY is not closed: the file is not complete."}},
		"a sysconfig that needs a shell": {map[string]string{sysconf: "SECURITY_KEY=$(cat /etc/key)\n"},
			[]string{sysconf + ":1: SECURITY_KEY depends on another variable or a command"}},
		"ports that are none": {map[string]string{sysconf: sound + "BASE_SUB=80x\n"}, []string{sysconf + ":3: BASE_SUB and ID_SUB make no ports"}},
		"half of an env file": {map[string]string{"compose.yml": "services: {a: {env_file: .env_push}, b: {env_file: .env_push}}", ".env_push": "MODE=sub\nLISTEN_PORT=80\nSECURITY_KEY='" + goodKey},
			[]string{".env_push:3: a quotation mark of SECURITY_KEY is not closed"}},
		"no YAML": {map[string]string{"docker-compose.yml": "services:\n  a:\n image: [x\n"}, []string{"docker-compose.yml:", "this is not YAML."}},
		"one process for all": {map[string]string{"compose.yml": "services: {a: {environment: {MODE: all, LISTEN_PORT: 80, SECURITY_KEY: " + goodKey + "}}}"},
			[]string{"compose.yml:1: one process of the original serves subscribers and the portal on one port", "\"pushgate serve\""}},
		"no key":  {map[string]string{sysconf: "REDIS_SOCK=/r\n"}, []string{"the signature key was not found", "--options FILE"}},
		"nothing": {map[string]string{"etc/hosts": "127.0.0.1 localhost\n"}, []string{"no push server was found here"}},
		"a large file": {map[string]string{sysconf: sound, settings: "<?php " + strings.Repeat(" ", maxFile)},
			[]string{settings + ": it cannot be read: larger than 1048576 bytes."}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			plan, err := run(t, Options{Root: site(t, c.files), Out: out})
			if !errors.Is(err, ErrBroken) {
				t.Errorf("error %v", err)
			}
			for _, want := range append(c.want, "Remedy: ") {
				if !strings.Contains(plan, want) {
					t.Errorf("no %q in\n%s", want, plan)
				}
			}
			if n := strings.Count(plan, "Remedy: "); n != 1 {
				t.Errorf("%d things to put right in\n%s", n, plan)
			}
			if strings.Contains(plan, goodKey) {
				t.Errorf("the key is in\n%s", plan)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// TestAllThatIsBroken is said at once.
func TestAllThatIsBroken(t *testing.T) {
	plan, _ := run(t, Options{Root: site(t, map[string]string{sysconf: "x\ny z\n", settings: "<?php return 1;"})})
	for _, want := range []string{sysconf + ":1", sysconf + ":2", settings + ":1"} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
}

// TestTwoPortals with one key, and one with another than the push server's.
func TestTwoPortals(t *testing.T) {
	portal := func(key string) string {
		return "<?php\nreturn ['pull' => ['value' => [\n 'path_to_publish' => 'http://127.0.0.1:8895/bitrix/pub/',\n 'signature_key' => '" + key + "',\n]]];"
	}
	second := "home/bitrix/ext_www/second/bitrix/.settings.php"
	plan, err := run(t, Options{Root: site(t, map[string]string{sysconf: sound, settings: portal(goodKey), second: portal(goodKey)})})
	if want := settings + ":4: the portal signs with the same key as the one of " + second; err != nil || !strings.Contains(plan, want) || !strings.Contains(plan, "a key for each") {
		t.Errorf("%v, no %q in\n%s", err, want, plan)
	}
	plan, err = run(t, Options{Root: site(t, map[string]string{sysconf: sound, settings: portal("another-" + goodKey)})})
	if want := settings + ":4: the portal's signature_key is not the push server's, which is in " + sysconf + ":1."; err != nil || !strings.Contains(plan, want) {
		t.Errorf("%v, no %q in\n%s", err, want, plan)
	}
}

// TestUnknownKeys are reported, wherever they are.
func TestUnknownKeys(t *testing.T) {
	config := `{"servers": [{"port": 8010, "hostname": "127.0.0.1", "routes": {"sub": "/ws/"}, "turbo": 1}], "security": {"key": "` + goodKey + `", "salt": 1}, "storage": {"messageTTL": 3600}}`
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound + "TURBO=1\n", "etc/push-server/config.json": config,
		settings: "<?php\nreturn ['pull' => ['value' => ['turbo' => 'Y', 'nginx' => SOME_CONSTANT]]];",
	})})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		sysconf + ":3: TURBO: unknown", "config.json:1: turbo: unknown", "config.json:1: security.salt: unknown",
		settings + `:2: "turbo": an option that is unknown`, settings + `:2: the value of "nginx" is not a literal`,
		`config.json:1: route sub is "/ws/", a path that pushgate does not serve.`,
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
}

// TestWhatIsOfOthers does not stop the plan: files with the same names, lines that the original
// does not read. Only an nginx that cannot be read is worth a word.
func TestWhatIsOfOthers(t *testing.T) {
	plan, err := run(t, Options{Root: site(t, map[string]string{
		"docker-compose.yml": "services:\n  a: {image: x, env_file: .env_sql}\n  push: {env_file: .env_push}\n",
		".env_push":          "MODE=sub\nLISTEN_PORT=80\nSECURITY_KEY=" + goodKey, ".env_sql": "PASSWORD=$ecret word\n",
		"app/config.json": "{ // no JSON\n}", "confs/php-fpm.conf": "include=etc/php-fpm.d/*.conf\n[www]\n", "confs/nginx/mime.types.conf": "types {",
		"confs/nginx/nginx.conf": "http {\n server {\n  listen 80;\n",
	})})
	if err != nil {
		t.Fatalf("%v\n%s", err, plan)
	}
	if want := "1. confs/nginx/nginx.conf:4: nginx's configuration cannot be read: the file ends inside"; !strings.Contains(plan, want) || strings.Contains(plan, "2. ") {
		t.Errorf("no %q, or more, in\n%s", want, plan)
	}
}

// TestSettingsElsewhere: a portal in a volume of Docker is not below the compose file.
func TestSettingsElsewhere(t *testing.T) {
	root := site(t, map[string]string{"compose.yml": "services: {push: {environment: {MODE: pub, LISTEN_PORT: 9010, SECURITY_KEY: " + goodKey + "}}}"})
	file := filepath.Join(site(t, map[string]string{".settings.php": "<?php return ['pull' => ['value' => [\n'path_to_publish' => 'http://nginx/bitrix/pub/']]];"}), ".settings.php")
	plan, err := run(t, Options{Root: root, OptionsFile: file})
	if want := file + ":2: the portal posts through nginx"; err != nil || !strings.Contains(plan, want) || !strings.Contains(plan, "'path_to_publish' => 'http://push:9010/bitrix/pub/'") {
		t.Errorf("%v, no %q in\n%s", err, want, plan)
	}
}

// TestLinksOfTheVendor: a file of nginx that is there twice, by a link, is in the plan once.
func TestLinksOfTheVendor(t *testing.T) {
	server := "server {\n listen 80;\n location /bitrix/pub/ { proxy_pass http://127.0.0.1:9010; }\n}\n"
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound, "etc/nginx/bx/site_avaliable/s1.conf": server, "etc/nginx/bx/site_avaliable/s2.conf": server + server, "etc/nginx/bx/site_enabled/s1.conf": server, "etc/nginx/bx/site_enabled/copy.conf": server,
	})})
	if n := strings.Count(plan, "/bitrix/pub/ is public"); err != nil || n != 1 {
		t.Errorf("%v, %d times\n%s", err, n, plan)
	}
}

// TestConfigsOnly: a machine without the control script, whose processes have a config.json each.
func TestConfigsOnly(t *testing.T) {
	config := func(port, routes, more string) string {
		return `{"servers": [{"port": ` + port + `, "hostname": "127.0.0.1", "routes": {` + routes + `}}], "security": {"key": "` + goodKey + `"}` + more + `}`
	}
	plan, err := run(t, Options{Root: site(t, map[string]string{
		"etc/push-server/push-server-sub-8010.json":     config("8010", `"sub": "/bitrix/subws/"`, ""),
		"etc/push-server/push-server-sub-8012.json":     config("8012", `"sub": "/bitrix/subws"`, ""),
		"etc/push-server/push-server-pub-9010.json":     config("9010", `"pub": "/bitrix/pub/", "rest": "/bitrix/rest/"`, `, "publishMode": true`),
		"etc/push-server/push-server-sub-__PORT__.json": "{ \"servers\": __PORT__",
	})})
	if err != nil {
		t.Fatalf("%v\n%s", err, plan)
	}
	for _, want := range []string{"edge@{8010,8012}: 2 processes, on ports 8010, 8012,", "publisher@9010: 1 process, on port 9010", "systemctl enable --now edge@{8010,8012} publisher@9010"} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
}

// TestKeysThatCannotStay are replaced, and those that can are not.
func TestKeysThatCannotStay(t *testing.T) {
	container := func(key string) map[string]string {
		return map[string]string{"compose.yml": "services: {push: {environment: {MODE: pub, LISTEN_PORT: 9010, SECURITY_KEY: '" + key + "'}}}"}
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string // empty: it stays
	}{
		"short":                      {container("15-bytes-longer"), "compose.yml:1: the signature key must be replaced: it has 15 bytes, fewer than 16."},
		"long enough":                {container("16-bytes-longer!"), ""},
		"a character in a container": {container("sixteen bytes $and more"), "compose.yml:1: the signature key must be replaced: it has a comma"},
		"the same on a machine":      {map[string]string{sysconf: "SECURITY_KEY='sixteen bytes $and more'"}, ""},
	} {
		out := filepath.Join(t.TempDir(), "out")
		plan, err := run(t, Options{Root: site(t, c.files), Out: out})
		if err != nil || c.want != "" && !strings.Contains(plan, c.want) || c.want == "" && strings.Contains(plan, "must be replaced") {
			t.Errorf("%s: %v, want %q in\n%s", name, err, c.want, plan)
		}
		files := written(t, out)
		if made := madeKey.MatchString(files["secret.env"] + files["portals.json"]); made != (c.want != "") {
			t.Errorf("%s: made a new key: %v", name, made)
		}
	}
}
