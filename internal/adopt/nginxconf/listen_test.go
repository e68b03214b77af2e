package nginxconf

import "testing"

func TestReachable(t *testing.T) {
	for address, want := range map[string]bool{"8893": true, "*:8893": true, "0.0.0.0:80": true, "[::]:80": true, "192.0.2.1": true, "portal.example.com:80": true,
		"127.0.0.1:8895": false, "127.0.0.2": false, "localhost:8895": false, "localhost": false, "[::1]:80": false, "[::1]": false, "unix:/run/nginx.sock": false} {
		if got := Reachable(address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
