package store_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/policy"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

func replicaRules(t *testing.T, text string) (r policy.ReplicaRules) {
	t.Helper()
	if err := r.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func typed(typ string, ttl time.Duration) *proto.Message {
	m := msg(ttl, typ, ch(1))
	m.Type = typ
	return m
}

func TestWaitForReplicas(t *testing.T) {
	t.Parallel() // it waits
	master := storetest.StartRedis(t)
	replica := master.AddReplica()
	const timeout = 3 * time.Second
	cfg := store.Config{Replicas: replicaRules(t, "one=1,two=2"), Timeout: timeout}
	l := store.New(open(t, master.URL()), cfg).Log("default")
	try := func(typ string, ttl time.Duration) (took time.Duration, err error) {
		began := time.Now()
		_, err = l.Append(t.Context(), typed(typ, ttl))
		return time.Since(began), err
	}
	testkit.Eventually(t, "the replica has a message", func() bool { _, err := try("one", time.Hour); return err == nil })
	testkit.Eventually(t, "one of two has it", func() bool { // on a busy machine, in time
		took, err := try("two", time.Hour)
		if err == nil || !strings.Contains(err.Error(), "too few replicas have it: ") || took > 2*timeout {
			t.Errorf("two replicas of one: %v after %v", err, took)
		}
		return err != nil && strings.Contains(err.Error(), ": 1 of 2")
	})
	replica.Must("REPLICAOF", "127.0.0.1", "1")
	if _, err := try("one", 0); err != nil {
		t.Errorf("a transient message: %v", err)
	}
	var waiting sync.WaitGroup
	for range 5 {
		waiting.Go(func() {
			if took, err := try("one", time.Hour); err == nil || took < timeout/2 || took > 2*timeout {
				t.Errorf("without a replica: %v after %v", err, took)
			}
		})
	}
	for range 20 {
		if took, err := try("other", time.Hour); err != nil || took > timeout/2 {
			t.Errorf("a message that waits for none: %v after %v", err, took)
		}
	}
	waiting.Wait()
	host, port, _ := net.SplitHostPort(master.Addr())
	replica.Must("REPLICAOF", host, port)
	testkit.Eventually(t, "the replica follows again", func() bool { _, err := try("one", time.Hour); return err == nil })
}

func TestWaitForReplicasOfACluster(t *testing.T) {
	t.Parallel() // it waits
	cluster := storetest.StartCluster(t, 3)
	cfg := store.Config{Replicas: replicaRules(t, "one=1"), Timeout: time.Second}
	for _, portal := range []string{"a", "b", "c"} {
		l := store.New(open(t, cluster.URL()), cfg).Log(portal)
		if _, err := l.Append(t.Context(), typed("one", time.Hour)); err == nil || !strings.Contains(err.Error(), "0 of 1") {
			t.Errorf("without replicas: %v", err)
		}
		post(t, l, typed("other", time.Hour))
	}
}
