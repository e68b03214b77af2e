package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// TestHealthOfAnotherProgram: what listens at the address and is not pushgate is not ready, and
// does not write to the terminal.
func TestHealthOfAnotherProgram(t *testing.T) {
	for _, answer := range []string{"302 Found\r\nLocation: /elsewhere", "503 \x1b[2J"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				now := answer
				if head, _ := bufio.NewReader(conn).ReadString('\n'); strings.Contains(head, "elsewhere") {
					now = "200 OK"
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 "+now+"\r\nContent-Length: 0\r\n\r\n")
				conn.Close()
			}
		})
		if err := health(t.Context(), listener.Addr().String()); err == nil || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%q: %v", answer, err)
		}
		listener.Close()
		serving.Wait()
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
