package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// clientKind is a kind of client and its share of a portal.
type clientKind struct {
	form      Form
	transport Transport
	percent   int
}

// clientKinds returns the clients of a portal that is changing from one generation to the next.
func clientKinds(p Peer) []clientKind {
	if p == Node {
		return []clientKind{{Text, WebSocket, 50}, {Protobuf, WebSocket, 40}, {Text, Poll, 10}}
	}
	return []clientKind{{Text, WebSocket, 35}, {Protobuf, WebSocket, 30}, {JSONRPC, WebSocket, 10}, {JSON, WebSocket, 5}, {SSE, WebSocket, 5}, {Text, Poll, 10}, {Protobuf, Poll, 5}}
}

const (
	groupSize    = 10
	sharedShare  = 0.01 // of all posts
	groupShare   = 0.25
	leaveShare   = 0.01 // of all people, each second
	longestBreak = 5 * time.Second
)

// mixed is a day in a minute: the rate grows to its peak and falls again. Every subscriber watches
// a channel of their own, the shared one, and those of their group, who are addressed one by one in
// the list of a post.
func mixed(r *run) error {
	private, group, shared := []*stream(nil), []*stream(nil), (*stream)(nil)
	if err := r.start(func() {
		sharedName, sharedPublish := r.newChannel()
		shared = r.newStream(sharedPublish, 0)
		var members []*subscriber
		names := ""
		for i := range r.Connections {
			subscribe, publish := r.newChannel()
			own := r.newStream(publish, i)
			private = append(private, own)
			s := r.newSubscriber(subscribe+"/"+sharedName, own, shared)
			s.keeps = true
			s.form, s.transport = pickKind(clientKinds(r.Peer), i*100/r.Connections)
			members = append(members, s)
			if names != "" {
				names += "/"
			}
			names += publish
			if len(members) == groupSize || i == r.Connections-1 {
				g := r.newStream(names, i)
				for _, m := range members {
					m.watch(g)
				}
				group = append(group, g)
				members, names = nil, ""
			}
		}
	}); err != nil {
		return err
	}
	if err := r.gather(r.Concurrency); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.churn(leaveShare)
	// Over a whole wave, the time between two posts is on average that much longer than at the
	// peak: 1/√0.3.
	posts := int(math.Sqrt(0.3) * r.Rate * r.Duration.Seconds())
	curve := func(i int) float64 {
		return r.Rate * (0.3 + 0.7*math.Pow(math.Sin(math.Pi*float64(i)/float64(posts)), 2))
	}
	if err := r.pace(posts, curve, func(int) *stream {
		switch x := rand.Float64(); {
		case x < sharedShare:
			return shared
		case x < sharedShare+groupShare:
			return group[rand.IntN(len(group))]
		default:
			return private[rand.IntN(len(private))]
		}
	}); err != nil {
		return err
	}
	return r.endWhen(func() bool { return r.present == len(r.subs) })
}

func pickKind(all []clientKind, percent int) (Form, Transport) {
	for _, c := range all {
		if percent -= c.percent; percent < 0 {
			return c.form, c.transport
		}
	}
	return all[0].form, all[0].transport
}

// churn makes a share of the subscribers leave each second and come back, until nothing more is
// posted.
func (r *run) churn(leave float64) {
	const every = 100 * time.Millisecond
	var turn func()
	turn = func() {
		if r.resting || r.ending {
			return
		}
		share := leave * every.Seconds() * float64(len(r.subs))
		for n := int(share + rand.Float64()); n > 0; n-- {
			s := r.subs[rand.IntN(len(r.subs))]
			if s.phase != live || s.position == "" {
				continue
			}
			s.leave()
			r.report.Returns++
			r.after(time.Duration(rand.Int64N(int64(min(longestBreak, r.Duration/4)))), s.dial)
		}
		r.after(every, turn)
	}
	r.after(every, turn)
}
