package load

import (
	"math"
	"math/rand/v2"
)

// returnShare is how many of all people leave and come back each second, in the scenario restart.
const returnShare = 0.05

// restart posts at a steady rate while people leave and come back with the id of the last message
// that they have. Every subscriber watches a channel of their own and the shared one. Half of the
// posts go to the shared one. The server may be restarted from outside meanwhile.
func restart(r *run) error {
	r.restarts = true
	var private []*stream
	var shared *stream
	if err := r.start(func() {
		sharedName, sharedPublish := r.newChannel()
		shared = r.newStream(sharedPublish, 0)
		for i := range r.Connections {
			subscribe, publish := r.newChannel()
			own := r.newStream(publish, i)
			private = append(private, own)
			s := r.newSubscriber(subscribe+"/"+sharedName, own, shared)
			s.keeps = true
			// The same clients for every server: the forms and transports that all have.
			s.form, s.transport = pickKind(clientKinds(Node), i*100/r.Connections)
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
	r.churn(returnShare)
	if err := r.pace(int(math.Ceil(r.Rate*r.Duration.Seconds())), func(int) float64 { return r.Rate }, func(int) *stream {
		if rand.IntN(2) == 0 {
			return shared
		}
		return private[rand.IntN(len(private))]
	}); err != nil {
		return err
	}
	return r.endWhen(func() bool { return r.present == len(r.subs) && r.out == 0 })
}
