package transport

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
	"pushgate/internal/netpoll"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/wire"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var alice = testkit.Channel(1)

// owner is an [Owner] that does nothing.
type owner struct {
	ended int
	fault bool // Messages panics
}

func (o *owner) Messages(b hub.Batch) []*proto.Message {
	if o.fault && len(b.Messages) > 0 {
		panic("fault")
	}
	return b.Messages
}

func (o *owner) Over(time.Time) *Reason          { return nil }
func (o *owner) Written(Written)                 {}
func (o *owner) Ended(*Reason)                   { o.ended++ }
func (o *owner) Limit() int64                    { return 1 << 20 }
func (o *owner) Wants() bool                     { return false }
func (o *owner) Receive(*WebSocket, []byte) bool { return true }

// newWorld makes a hub that the log notifies, and what its connections share.
func newWorld(start func(func())) (*hub.Hub, *Shared) {
	h := hub.New(storetest.NewMemory(store.Config{}), hub.Config{})
	h.Resync(proto.ID{})
	conns := netpoll.New(start)
	return h, &Shared{Conns: conns, Heartbeats: netpoll.NewHeartbeats(time.Second, nil), Queue: NewQueue(conns.Start, 2, nil), Incoming: NewIncoming(0),
		Metrics: NewMetrics(prometheus.NewRegistry()), PingTicks: 25, BeatTicks: 10}
}

// attacher makes a session.
type attacher = func(wake func()) *hub.Session

// attach returns the function with which a transport attaches its session.
func attach(h *hub.Hub, r *wire.Reader) func(wake func()) *hub.Session {
	return func(wake func()) *hub.Session { return h.Attach(r.Channels, nil, wake) }
}

func message(sequence uint64, body string) *proto.Message {
	return &proto.Message{ID: proto.ID{Sequence: sequence}, Receivers: []channel.ID{alice}, Body: []byte(body), TTL: time.Hour,
		Created: time.Now(), Received: time.Now()}
}
