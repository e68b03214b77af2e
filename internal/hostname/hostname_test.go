package hostname

import "testing"

// TestAllowed: a name that somebody else may have made resolve to this machine is allowed only if
// it is in the list.
func TestAllowed(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "127.0.0.1": true, "127.0.0.1:9100": true, "[::1]:9100": true, "::1": true, "localhost": true, "LOCALHOST.:9100": true,
		"10.0.0.1:80": true, "push.example.com": true, "push.example.com:443": true, "PUSH.example.com.": true,
		"evil.test": false, "evil.test:9100": false, "localhost.evil.test": false, "127.0.0.1.evil.test": false, "example.com": false,
		"x.push.example.com": false, "0x7f.1": false,
	} {
		if got := Allowed(host, []string{"Push.example.com", "*.local"}); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	if Allowed("push.example.com", nil) {
		t.Error("without a list a name is allowed")
	}
}
