package testkit

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Answer is the response of a server.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Get sends a GET request over a new connection, and returns the answer. An error fails the test,
// which continues with an empty answer.
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

// Publish posts a message to a URL, which names its channels. It repeats the post while the answer
// is 503, and an idempotency key makes sure that the message is published once. Expiry is in
// seconds. It must be called by the test's own goroutine.
func Publish(t testing.TB, url, expiry, body string) {
	t.Helper()
	key := rand.Text()
	Eventually(t, "the post is answered with 200", func() bool {
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
			t.Fatalf("the post was answered with %s", response.Status)
		}
		return response.StatusCode == http.StatusOK
	})
}
