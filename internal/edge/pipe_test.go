package edge

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeEnd is an end of a pipe to which several goroutines may write. Writers of a [net.Pipe] wait
// for each other with a mutex. A bubble does not count that as blocked: as long as the other end is
// not read, no time would pass in the bubble, and synctest.Wait would not return.
type pipeEnd struct {
	net.Conn
	writing chan struct{} // of capacity 1: full during a write
}

func newPipe() (server, client net.Conn) {
	server, client = net.Pipe()
	return pipeEnd{server, make(chan struct{}, 1)}, pipeEnd{client, make(chan struct{}, 1)}
}

// Write implements [net.Conn].
func (p pipeEnd) Write(b []byte) (int, error) {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.Conn.Write(b)
}

// Heartbeats are written while messages are. A bubble must count both writers as blocked if the
// client does not read.
func TestTwoWritersOfAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := newPipe()
		var writers sync.WaitGroup
		for range 2 {
			writers.Go(func() {
				if n, err := server.Write([]byte("x")); n != 1 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		for range 2 {
			if _, err := client.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
		writers.Wait()
	})
}
