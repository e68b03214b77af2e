package policy

import "testing"

func TestReplicaRules(t *testing.T) {
	var none ReplicaRules
	if n := none.Replicas("im_message"); n != 0 {
		t.Errorf("without rules: %d", n)
	}
	const text = "im_message=2,im_*=0,online_*=1"
	var r ReplicaRules
	if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != text {
		t.Fatal(r, err)
	}
	for typ, want := range map[string]int{"im_message": 2, "im_messages": 0, "online_x": 1, "other": 0, "": 0} {
		if got := r.Replicas(typ); got != want {
			t.Errorf("%s waits for %d, want %d", typ, got, want)
		}
	}
	for _, bad := range []string{"", "im", "=1", "im=", "im=-1", "im=17", "im=x", "i*m=1", "im=1,,"} {
		if err := new(ReplicaRules).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
