package testkit

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Answer is a server's answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Get asks for a URL, over a connection of its own. An error fails the test, which goes on with an
// empty answer.
func Get(t testing.TB, url string) (a Answer) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return a
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return Answer{response.StatusCode, response.Header, string(body)}
}

// Publish posts a message to a URL that names its channels, once, however often a log that does not
// answer in time must be asked. Expiry is in seconds.
func Publish(t testing.TB, url, expiry, body string) {
	t.Helper()
	key := rand.Text()
	Eventually(t, "published", func() bool {
		request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Message-Expiry", expiry)
		request.Header.Set("Idempotency-Key", key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("publishing was answered with %s", response.Status)
		}
		return response.StatusCode == http.StatusOK
	})
}
