package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// TestRevoke: the command reads the key from the file of settings, sends what a portal would, with
// a signature for now, and says what the publisher answered.
func TestRevoke(t *testing.T) {
	for _, c := range []struct {
		name, args, body, answer string
		code                     int
		stdout, stderr           string // parts
	}{
		{"a user", "--user 17", `"method":"revokeAccess","params":{"until":`, `{"result":{"until":1}}`, 0, "put out until 1970-01-01T00:00:01Z", ""},
		{"until a second", "--user 17 --until 1800000000", `"params":{"until":1800000000,"userId":17}`, `{"result":{"until":1800000000}}`, 0, "put out until 2027-01-15T08:00:00Z", ""},
		{"lifted", "--user 17 --restore", `"method":"restoreAccess","params":{"userId":17}`, `{"result":{}}`, 0, "let in again", ""},
		{"listed", "--list", `"method":"getRevokedAccess"`, `{"result":{"user:17":1800000000}}`, 0, "user:17 until 2027-01-15T08:00:00Z", ""},
		{"refused", "--token-id x", `"tokenId":"x"`, `{"error":{"code":-32602}}`, 1, "", "-32602"},
		{"not an answer", "--token-id x", "", "nonsense", 1, "", "status 200"},
		{"JSON of another server", "--token-id x", "", `{"message":"no such page"}`, 1, "", "no such page"},
		{"escapes", "--list", "", `{"result":{"user:17\u001b[2J":1800000000}}`, 0, `user:17\u001b[2J until`, ""},
		{"nothing named", "", "", "", 2, "", "user"},
		{"two named", "--user 1 --token x", "", "", 2, "", "token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				at, _ := strconv.ParseInt(r.URL.Query().Get("timestamp"), 10, 64)
				if !testkit.Signer(exampleKey).VerifyPost(sign.Post{Time: at, Body: body}, r.URL.Query().Get("signature")) {
					t.Error("a wrong signature")
				}
				if r.URL.Path != "/bitrix/api/" || !bytes.Contains(body, []byte(c.body)) {
					t.Errorf("%s %s", r.URL.Path, body)
				}
				_, _ = io.WriteString(w, c.answer)
			}))
			defer server.Close()
			var stdout, stderr strings.Builder
			args := append([]string{"revoke", "--to", server.URL}, strings.Fields(c.args)...)
			env := filepath.Join(t.TempDir(), "pushgate.env")
			if err := os.WriteFile(env, []byte("PUSHGATE_KEYS="+exampleKey+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code := run(t.Context(), world{nil, &stdout, &stderr}, append(args, "--env", env))
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
		})
	}
}

// TestRevokeFollowsNoRedirect: another server gets neither what is put out nor the signature. It
// got the token in the body, and the signature as the referrer.
func TestRevokeFollowsNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("another server got %q and the referrer %q", body, r.Referer())
		_, _ = io.WriteString(w, `{"result":{}}`)
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	var stdout, stderr strings.Builder
	code := run(t.Context(), world{[]string{"PUSHGATE_KEYS=" + exampleKey}, &stdout, &stderr}, []string{"revoke", "--to", server.URL, "--token", "a.b.c"})
	if code != 1 || !strings.Contains(stderr.String(), "status 307") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}
