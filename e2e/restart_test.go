package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// poster posts all the time, as one process of a portal.
type poster struct {
	to    []string // addresses; the next one is tried if one refuses to connect
	keeps bool     // its connection, for the next post

	conn    net.Conn
	answers *bufio.Reader
}

// dial connects to the first address that does not refuse.
func (p *poster) dial() (err error) {
	for _, address := range p.to {
		if p.conn, err = net.DialTimeout("tcp", address, readyWithin); err == nil {
			p.answers = bufio.NewReader(p.conn)
			return nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
	return err
}

func (p *poster) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// post makes one post. Whatever is not answered 200 is an error.
func (p *poster) post(path, body string) error {
	if p.conn == nil {
		if err := p.dial(); err != nil {
			return err
		}
	}
	r, err := http.NewRequest(http.MethodPost, "http://portal.example.com"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Close = !p.keeps
	_ = p.conn.SetDeadline(time.Now().Add(readyWithin))
	if err := r.Write(p.conn); err != nil {
		p.hangUp()
		return err
	}
	answer, err := http.ReadResponse(p.answers, r)
	if err != nil {
		p.hangUp()
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.Close || err != nil {
		p.hangUp()
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return err
}

// TestRestartOfAPublisherRefusesNoPost: two publishers are restarted in turns under constant posts,
// of clients that keep their connection and of those that have one for each post, as PHP does. They
// post through nginx, or straight, and then to the other publisher if one refuses to connect.
func TestRestartOfAPublisherRefusesNoPost(t *testing.T) {
	const posters, pace, rounds, least = 8, 25 * time.Millisecond, 4, 20_000
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 2})
	first, second := w.Publishers[0].Addr, w.Publishers[1].Addr
	type way struct {
		name           string
		to             [2][]string
		keeps          bool
		posts, refused atomic.Int64
	}
	nginx, straight := [2][]string{{w.Internal}, {w.Internal}}, [2][]string{{first, second}, {second, first}}
	ways := []*way{{name: "nginx, kept", to: nginx, keeps: true}, {name: "nginx, one post each", to: nginx},
		{name: "straight, kept", to: straight, keeps: true}, {name: "straight, one post each", to: straight}}
	path := "/bitrix/pub/?CHANNEL_ID=" + NewChannel().String()
	var posting sync.WaitGroup
	end := make(chan struct{})
	stop := sync.OnceFunc(func() { close(end); posting.Wait() })
	defer stop()
	for _, way := range ways {
		for i := range posters {
			posting.Go(func() {
				p := &poster{to: way.to[i%2], keeps: way.keeps}
				defer p.hangUp()
				tick := time.NewTicker(pace)
				defer tick.Stop()
				for {
					select {
					case <-end:
						return
					case <-tick.C:
					}
					n := way.posts.Add(1)
					if err := p.post(path, fmt.Sprintf(`{"n":%d}`, n)); err != nil {
						way.refused.Add(1)
						t.Logf("%s: post %d: %v", way.name, n, err)
					}
				}
			})
		}
	}
	sum := func() (posts int64) {
		for _, way := range ways {
			posts += way.posts.Load()
		}
		return posts
	}
	time.Sleep(time.Second)
	restarts := 0
	for ; restarts < rounds || sum() < least; restarts++ {
		p := w.Publishers[restarts%2]
		began := time.Now()
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		stopped := time.Since(began)
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s left in %v", p.Name, stopped.Round(time.Millisecond))
		time.Sleep(2200 * time.Millisecond) // nginx does not try it for a moment, see roll
	}
	stop()
	for _, way := range ways {
		t.Logf("%s: %d posts, %d refused", way.name, way.posts.Load(), way.refused.Load())
		if way.refused.Load() > 0 {
			t.Errorf("%s: %d of %d posts refused in %d restarts", way.name, way.refused.Load(), way.posts.Load(), restarts)
		}
	}
}
