package publisher

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// slowLog is a fake whose appends block until they are released.
func slowLog(release <-chan struct{}) *fake {
	return &fake{append: func(context.Context, *proto.Message) (proto.Receipt, error) {
		<-release
		return proto.Receipt{ID: proto.ID{Sequence: 1}}, nil
	}}
}

// TestTooManyPosts: a post beyond the limit is refused at once, in every dialect. When others have
// ended, there is room again.
func TestTooManyPosts(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*settings)
	}{
		{"of the process", func(c *settings) { c.MaxPosts = 2 }},
		{"of the portal", func(c *settings) { c.Limits.Posts = 2 }},
		{"bytes", func(c *settings) { c.MaxPostsBytes = 10 }},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				conf := config(t)
				c.change(&conf)
				p := newPublisher(conf, slowLog(release))
				post := func() *httptest.ResponseRecorder { return p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "12345")) }
				var under sync.WaitGroup
				for range 2 {
					under.Go(func() {
						if w := post(); w.Code != 200 {
							t.Errorf("%d", w.Code)
						}
					})
				}
				synctest.Wait()
				start := time.Now()
				if w := post(); w.Code != 429 || w.Header().Get("Retry-After") != "1" || w.Body.Len() > 0 {
					t.Errorf("text: %d %v %q", w.Code, w.Header(), w.Body)
				}
				if w := p.do(call(t, publishCall(`{"userList":[5],"body":{"x":123}}`))); w.Code != 429 || !strings.Contains(w.Body.String(), "-32603") {
					t.Errorf("JSON-RPC: %d %q", w.Code, w.Body)
				}
				if time.Since(start) > 0 {
					t.Error("the refusal waited")
				}
				close(release)
				under.Wait()
				if w := post(); w.Code != 200 {
					t.Errorf("afterwards: %d", w.Code)
				}
			})
		})
	}
}

// TestLargePostAlone: a single post is accepted even if it is larger than the bound of bytes.
func TestLargePostAlone(t *testing.T) {
	c := config(t)
	c.MaxPostsBytes = 10
	if w := newPublisher(c, &fake{}).do(request("POST", "/pub/?CHANNEL_ID="+idA, strings.Repeat("x", 1000))); w.Code != 200 {
		t.Error(w.Code)
	}
}

// TestNoisyPortal: a portal at its limit does not slow another one.
func TestNoisyPortal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, logs := shared(t)
		release := make(chan struct{})
		logs[clientA].append = slowLog(release).append
		post := func(client, key string) int {
			return p.do(request("POST", "/pub/?CHANNEL_ID="+idA+"&clientId="+client+"&signature="+testkit.Signer(key).SignBody([]byte("x")), "x")).Code
		}
		var under sync.WaitGroup
		for range 150 {
			under.Go(func() { post(clientA, keyA) })
		}
		synctest.Wait()
		if a, b := post(clientA, keyA), post(clientB, keyB); a != 429 || b != 200 {
			t.Errorf("%d and %d", a, b)
		}
		close(release)
		under.Wait()
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(t)
		c.Limits.Rate = 10
		p := newPublisher(c, &fake{})
		for _, want := range []int{10, 10, 10} {
			accepted := 0
			for range 50 {
				if p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "x")).Code == 200 {
					accepted++
				}
			}
			if accepted != want {
				t.Errorf("%d accepted, want %d", accepted, want)
			}
			time.Sleep(time.Second)
		}
		if got := p.gates.Posts(); got != 0 {
			t.Errorf("%d posts are still counted", got)
		}
	})
}
