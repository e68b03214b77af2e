package adopt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// portalWith returns a .settings.php.
func portalWith(options string) string {
	return "<?php\nreturn ['pull' => ['value' => [\n" + options + "]]];"
}

// TestKeyOfAnotherUsersPortal: any user of a machine can put a file where portals are. The push
// server must not accept the key that it has, nor another portal post where it says.
func TestKeyOfAnotherUsersPortal(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	foreign := "home/a/www/bitrix/.settings.php" // before the portal's
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound, foreign: portalWith(" 'signature_key' => 'chosen-by-another-user',\n 'path_to_publish' => 'http://192.0.2.66:80/',\n"),
		settings: portalWith(" 'signature_key' => '" + goodKey + "',\n 'nginx' => 'N',\n"),
	}), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	files := written(t, out)
	if text := files["portals.json"]; strings.Contains(text, "chosen-by-another-user") || !strings.Contains(text, goodKey) {
		t.Errorf("the keys are %s", text)
	}
	if want := foreign + ":3: the portal's signature_key is not the push server's"; !strings.Contains(plan, want) || !strings.Contains(plan, "The plan takes the push server's alone") {
		t.Errorf("no %q in\n%s", want, plan)
	}
	if text := files["portal/options-2.php"]; strings.Contains(text, "192.0.2.66") || !strings.Contains(text, "'path_to_publish' => 'http://127.0.0.1:8895/bitrix/pub/'") {
		t.Errorf("the options are\n%s", text)
	}
}

// TestKeyThatCannotStayIsNotReplacedByAPortals: the key of an unknown portal does not take the
// place of one that is too short.
func TestKeyThatCannotStayIsNotReplacedByAPortals(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: "SECURITY_KEY=short\nWS_HOST=127.0.0.1\n", settings: portalWith(" 'signature_key' => 'chosen-by-another-user',\n"),
	}), Out: out}); err != nil {
		t.Fatalf("%v\n%s", err, plan)
	}
	if text := written(t, out)["portals.json"]; !madeKey.MatchString(text) || strings.Contains(text, "chosen-by") {
		t.Errorf("the keys are %s", text)
	}
}

// TestKeysOfSeveralPortals: where nothing says which key is the push server's, a plan that accepts
// several says so.
func TestKeysOfSeveralPortals(t *testing.T) {
	second := "home/bitrix/ext_www/second/bitrix/.settings.php"
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: "WS_HOST=127.0.0.1\n", settings: portalWith(" 'signature_key' => '" + goodKey + "',\n"), second: portalWith(" 'signature_key' => 'another-" + goodKey + "',\n"),
	})})
	if want := ":3: this portal signs with another key than the first one, and pushgate accepts both"; err != nil || !strings.Contains(plan, want) {
		t.Errorf("%v, no %q in\n%s", err, want, plan)
	}
}

// TestKeyWithALineBreak: a key is no way to add variables to those of a container.
func TestKeyWithALineBreak(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	_, err := run(t, Options{Root: site(t, map[string]string{
		"compose.yml": `services: {push: {environment: {MODE: pub, LISTEN_PORT: 9010, SECURITY_KEY: "a-key-of-16-bytes\nPUSHGATE_PUBLISH_ALLOW=0.0.0.0/0"}}}`,
	}), Out: out})
	if text := written(t, out)["secret.env"]; err != nil || strings.Count(text, "\n") != 1 || strings.Contains(text, "0.0.0.0/0") {
		t.Errorf("%v, the secret is %q", err, text)
	}
}

// TestNameThatLooksLikeThePlan: names of files and values of options begin no line of the plan, and
// turn no text around.
func TestNameThatLooksLikeThePlan(t *testing.T) {
	forged := "\n\nTO CHANGE\n  run-what-is-bad \u202e"
	odd := "var/www/x" + forged + "/bitrix/.settings.php"
	out := filepath.Join(t.TempDir(), "out")
	plan, err := run(t, Options{Root: site(t, map[string]string{
		sysconf: sound, odd: portalWith(" 'signature_key' => '" + goodKey + "',\n 'nginx' => 'N" + forged + "',\n"),
		"var/www/?><?php bad(); #/bitrix/.settings.php": portalWith(" 'nginx' => 'N',\n"),
	}), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(plan, "\nTO CHANGE\n"); n != 1 || strings.Contains(plan, "\n  run-what") || strings.ContainsRune(plan, '\u202e') {
		t.Errorf("%d lists of commands in\n%s", n, plan)
	}
	files := written(t, out)
	if text := files["ROLLBACK.md"]; strings.Contains(text, "\n  run-what") {
		t.Errorf("the way back is\n%s", text)
	}
	if text := files["portal/options-1.php"]; strings.Contains(text, "?>") {
		t.Errorf("the options are\n%s", text)
	}
}

// TestPasswordInPathToPublish is not shown, even in an address that cannot be read.
func TestPasswordInPathToPublish(t *testing.T) {
	for _, address := range []string{"http://user:hidden@nginx/bitrix/pub/", "http://user:hidden%zz@nginx/bitrix/pub/"} {
		plan, err := run(t, Options{Root: site(t, map[string]string{
			"compose.yml": "services: {push: {environment: {MODE: pub, LISTEN_PORT: 9010, SECURITY_KEY: " + goodKey + "}}}", "www/bitrix/.settings.php": portalWith(" 'path_to_publish' => '" + address + "',\n"),
		})})
		if err != nil || !strings.Contains(plan, "path_to_publish") || strings.Contains(plan, "hidden") {
			t.Errorf("%s: %v\n%s", address, err, plan)
		}
	}
}

// TestOptionsWithoutEnd: only so much is read of what is named as the portal's options.
func TestOptionsWithoutEnd(t *testing.T) {
	_, err := run(t, Options{Root: site(t, map[string]string{sysconf: sound}), OptionsFile: "/dev/zero"})
	if err == nil || !strings.Contains(err.Error(), "has more than 1048576 bytes") {
		t.Errorf("%v", err)
	}
}

// TestOutputOfSomebodyElse: what root installs must not be in a directory that others can change.
func TestOutputOfSomebodyElse(t *testing.T) {
	root := site(t, map[string]string{sysconf: sound})
	everybodys := t.TempDir()
	if err := os.Chmod(everybodys, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, Options{Root: root, Out: everybodys}); err == nil || !strings.Contains(err.Error(), "every user can write to") {
		t.Errorf("a directory like /tmp: %v", err)
	}
	theirs := t.TempDir()
	if err := os.Chown(theirs, 12345, -1); err != nil {
		t.Skip(err)
	}
	if _, err := run(t, Options{Root: root, Out: theirs}); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("a directory of another user: %v", err)
	}
	if left := written(t, theirs); len(left) != 0 {
		t.Errorf("it has %v", left)
	}
}

// TestOutputStaysInItsDirectory: neither a link in the directory nor the path of the options leads
// to a place outside.
func TestOutputStaysInItsDirectory(t *testing.T) {
	root, outside := site(t, map[string]string{sysconf: sound}), t.TempDir()
	mine := filepath.Join(outside, "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(out, "systemd")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, marker), []byte("systemd/mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := run(t, Options{Root: root, Out: out})
	if left := written(t, outside); err == nil || len(left) != 1 {
		t.Errorf("%v, outside is %v", err, left)
	}

	top := site(t, map[string]string{"portal/.settings.php": portalWith(" 'nginx' => 'Y',\n"), "portal/a/b/c/empty": ""})
	t.Chdir(filepath.Join(top, "portal/a/b/c"))
	_, err = run(t, Options{Root: root, Out: filepath.Join(top, "out"), OptionsFile: "../../../.settings.php"})
	if files := written(t, top); err != nil || files[".settings.php"] != "" || files["out/rollback/files/.settings.php"] == "" {
		t.Errorf("%v, the files are %v", err, files)
	}
}

// TestIncludesOfEachOther: files that include all others do not keep adopt busy for ever.
func TestIncludesOfEachOther(t *testing.T) {
	files := map[string]string{sysconf: sound, "etc/nginx/nginx.conf": "http { server { listen 80; include conf.d/*.conf; } }"}
	for i := range 12 {
		files[fmt.Sprintf("etc/nginx/conf.d/%d.conf", i)] = fmt.Sprintf("include conf.d/*.conf; location /bitrix/sub/ { proxy_pass http://%d; }", i)
	}
	plan, err := run(t, Options{Root: site(t, files)})
	if want := "nginx's files include one another again and again"; err != nil || strings.Count(plan, want) != 1 {
		t.Errorf("%v, no %q, or more, in\n%s", err, want, plan)
	}
}

// TestRedisForEveryUser: pushgate's Redis has no password, so nobody but its group may reach it.
func TestRedisForEveryUser(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if _, err := run(t, Options{Root: site(t, map[string]string{sysconf: sound}), Out: out}); err != nil {
		t.Fatal(err)
	}
	// That of the package, which serves at a socket only.
	if text, want := written(t, out)["pushgate.env"], "PUSHGATE_REDIS_URL=unix:///run/pushgate-redis/redis.sock?db=0\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	out = filepath.Join(t.TempDir(), "out")
	if _, err := run(t, Options{Root: filepath.Join("testdata", "helm"), Out: out}); err != nil {
		t.Fatal(err)
	}
	if text := written(t, out)["kubernetes/pushgate.yaml"]; !strings.Contains(text, "kind: NetworkPolicy\nmetadata: { name: pushgate-redis }") {
		t.Errorf("every pod reaches Redis:\n%s", text)
	}
}

// TestPublishedPublisher: Docker opens a port that compose publishes to everybody, and what comes
// to it over its proxy comes from a private network.
func TestPublishedPublisher(t *testing.T) {
	for mapping, want := range map[string]string{ // what the plan writes; empty: it says nothing
		`"9010:80"`: `"127.0.0.1:9010:80"`, `"80"`: `"127.0.0.1::80"`, `"0.0.0.0:9010:80"`: `"127.0.0.1:9010:80"`, `"[::]:9010:80"`: `"127.0.0.1:9010:80"`,
		"{target: 80, published: 9010}": `"127.0.0.1:9010:80"`, `"9009-9010:79-80"`: `"127.0.0.1:9009-9010:79-80"`,
		`"127.0.0.1:9010:80"`: "", `"[::1]:9010:80"`: "", "{target: 80, published: 9010, host_ip: 127.0.0.1}": "",
	} {
		out := filepath.Join(t.TempDir(), "out")
		plan, err := run(t, Options{Root: site(t, map[string]string{
			"compose.yml": "services:\n push:\n  environment: {MODE: pub, LISTEN_PORT: 80, SECURITY_KEY: " + goodKey + "}\n  ports: [" + mapping + "]\n",
		}), Out: out})
		if err != nil {
			t.Fatal(err)
		}
		text := written(t, out)["compose.pushgate.yml"]
		if said := strings.Contains(plan, "compose.yml:4: service push publishes the publisher's port"); said != (want != "") || want != "" && !strings.Contains(text, "    ports: !override\n      - "+want+"\n") || want == "" && strings.Contains(text, "ports:") {
			t.Errorf("%s: said %v, want %s in\n%s", mapping, said, want, text)
		}
	}
}
