package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// share has the nginx of a world share subscribers with another server, as share.conf says:
// percent of them, such as "30%", are the edges'; "" is as it is installed.
func (w *World) share(t *testing.T, other, percent string) {
	t.Helper()
	dir := filepath.Join(w.dir, "nginx")
	edit := func(from, name string, pairs ...string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(string(text), pairs[i]) {
				t.Fatalf("%s has no %q", name, pairs[i])
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pairs := []string{"127.0.0.1:8110", other}
	if percent != "" {
		pairs = append(pairs, "#10% ", percent+" ")
	}
	files := filepath.Join(Repository(), "nginx")
	edit(filepath.Join(files, "pushgate/share.conf"), "pushgate/share.conf", pairs...)
	edit(filepath.Join(files, "pushgate/sub.conf"), "pushgate/sub.conf", "http://pushgate_edges", "http://$pushgate_side")
	// A path that exists only after the reload.
	generation := fmt.Sprint("generation-", rand.Uint64())
	f, err := os.OpenFile(filepath.Join(dir, "pushgate/sub.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "location = /%s { return 204; }\n", generation)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "nginx.conf")
	if text, err := os.ReadFile(config); err != nil || !strings.Contains(string(text), "share.conf") {
		edit(config, "nginx.conf", "include pushgate/upstreams.conf;", "include pushgate/upstreams.conf; include pushgate/share.conf;")
	}
	if err := w.Nginx.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "nginx has reloaded", func() bool {
		for range 20 { // a worker that leaves may still accept
			if status, _, err := w.Do(t.Context(), "GET", "http://"+w.Public+"/"+generation, ""); err != nil || status != http.StatusNoContent {
				return false
			}
			w.http.CloseIdleConnections()
		}
		return true
	})
}

// TestShareOfSubscribers moves a share of the clients between two servers by share.conf: the
// share is what it says, a client is always served by the same side however it writes its list, a
// larger share takes more clients and gives none back, and without the line nobody is moved.
func TestShareOfSubscribers(t *testing.T) {
	const clients, tolerance = 1000, 0.05
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer other.Close()
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=100ms"}})
	random := rand.New(rand.NewPCG(1, 2)) // the same ids each time, so that the shares are the same
	id := func() (id channel.ID) {
		var raw [channel.IDLen / 2]byte
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		return channel.FromBytes(raw)
	}
	shared := w.Signer.Sign(channel.Ref{Private: id()}).String()
	own := make([]string, clients)
	for i := range own {
		own[i] = w.Signer.Sign(channel.Ref{Private: id(), Public: id()}).String()
	}
	// moved returns which clients are served by the edges. Each asks as the web client, as the
	// mobile app, and with its own ids alone.
	moved := func() []bool {
		moved := make([]bool, clients)
		var asking sync.WaitGroup
		free := make(chan struct{}, 60)
		for i, list := range own {
			free <- struct{}{}
			asking.Go(func() {
				defer func() { <-free }()
				for n, query := range []string{url.QueryEscape(list + "/" + shared), shared + "/" + list, list} {
					for _, path := range []string{"/bitrix/subws/", "/bitrix/sub/"} {
						status, _, err := w.Do(t.Context(), "GET", "http://"+w.Public+path+"?CHANNEL_ID="+query, "")
						switch {
						case err != nil || status != http.StatusTeapot && status != http.StatusNotModified:
							t.Errorf("status %d, %v", status, err)
						case n == 0 && path == "/bitrix/subws/":
							moved[i] = status == http.StatusNotModified
						case moved[i] != (status == http.StatusNotModified):
							t.Errorf("client %d is not always on the same side", i)
						}
					}
				}
			})
		}
		asking.Wait()
		return moved
	}
	count := func(moved []bool) (n int) {
		for _, is := range moved {
			if is {
				n++
			}
		}
		return n
	}
	w.share(t, other.Listener.Addr().String(), "")
	if n := count(moved()); n != 0 {
		t.Errorf("%d clients are moved as it is installed", n)
	}
	before := make([]bool, clients)
	for _, share := range []float64{0.30, 0.60} {
		w.share(t, other.Listener.Addr().String(), fmt.Sprintf("%.0f%%", 100*share))
		now := moved()
		got := float64(count(now)) / clients
		t.Logf("%.0f%%: %.1f%% of %d clients", 100*share, 100*got, clients)
		if got < share-tolerance || got > share+tolerance {
			t.Errorf("share %.3f, want %.2f", got, share)
		}
		for i := range now {
			if before[i] && !now[i] {
				t.Errorf("client %d went back", i)
			}
		}
		before = now
	}
	w.share(t, other.Listener.Addr().String(), "")
	if n := count(moved()); n != 0 {
		t.Errorf("%d clients have not gone back", n)
	}
}
