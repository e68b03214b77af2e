package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHealth asks admin ports that are ready, not ready, and absent.
func TestHealth(t *testing.T) {
	ready := true
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	address := server.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	socket := filepath.Join(t.TempDir(), "admin")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	unix.Start()
	defer unix.Close()

	for _, a := range []string{address, "0.0.0.0:" + port, ":" + port, "unix:" + socket} {
		ready = true
		if err := health(t.Context(), a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		ready = false
		if err := health(t.Context(), a); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s is not ready, and the answer is %v", a, err)
		}
	}
	for _, a := range []string{"", "127.0.0.1:0", "127.0.0.1"} {
		if err := health(t.Context(), a); err == nil || !strings.Contains(err.Error(), adminVariable) {
			t.Errorf("%q: %v", a, err)
		}
	}
	server.Close()
	if err := health(t.Context(), address); err == nil {
		t.Error("nobody listens, and it is healthy")
	}
}

// TestArguments calls the program by the names that the image has for it.
func TestArguments(t *testing.T) {
	for _, test := range []struct{ argv, want []string }{
		{[]string{"/edge"}, []string{"edge"}},
		{[]string{"/publisher", "--version"}, []string{"publisher", "--version"}},
		{[]string{"/pushgate", "serve"}, []string{"serve"}},
	} {
		if got := arguments(test.argv); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.argv, got, test.want)
		}
	}
}
