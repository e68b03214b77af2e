package storetest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// slots is the number of slots of a cluster.
const slots = 16384

// Cluster is a Redis cluster for one test: masters that share the keys, without replicas.
type Cluster struct {
	Nodes []*Redis
}

// StartCluster starts a cluster with a number of nodes, which ends with the test. args are further
// options of each node's command line. The test is skipped, or fails, as with [StartRedis].
func StartCluster(t testing.TB, nodes int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{}
	var buses []string
	for i := range nodes {
		_, bus, _ := net.SplitHostPort(freeAddr(t))
		r := StartRedis(t, append([]string{"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000"}, args...)...)
		c.Nodes, buses = append(c.Nodes, r), append(buses, bus)
		r.Must("CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		r.Must("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*slots/nodes), fmt.Sprint((i+1)*slots/nodes-1))
	}
	for i, r := range c.Nodes[1:] {
		host, port, _ := net.SplitHostPort(r.Addr())
		c.Nodes[0].Must("CLUSTER", "MEET", host, port, buses[i+1])
	}
	for _, r := range c.Nodes {
		r.await("the cluster", func() bool {
			info := r.Must("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_known_nodes:", nodes))
		})
	}
	return c
}

// URL returns the cluster's address in the form that the store opens.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, r := range c.Nodes {
		addrs[i] = r.Addr()
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// AddReplica starts a replica of a node. It replaces the node when that fails. It is not in Nodes.
func (c *Cluster) AddReplica(of *Redis) *Redis {
	of.t.Helper()
	_, bus, _ := net.SplitHostPort(freeAddr(of.t))
	r := StartRedis(of.t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(r.Addr())
	of.Must("CLUSTER", "MEET", host, port, bus)
	id := of.Must("CLUSTER", "MYID")
	r.await("the replica knows its master", func() bool {
		answer, err := r.Do("CLUSTER", "REPLICATE", id)
		return err == nil && answer == "+OK"
	})
	r.awaitMaster()
	for _, node := range c.Nodes {
		node.await("all know the replica", func() bool { return strings.Contains(node.Must("CLUSTER", "NODES"), "slave "+id) })
	}
	return r
}

// Move moves the slot of a key, which must be empty, to another node.
func (c *Cluster) Move(key string, to *Redis) {
	slot := strings.TrimPrefix(to.Must("CLUSTER", "KEYSLOT", key), ":")
	id := to.Must("CLUSTER", "MYID")
	// A message of the former owner of the slot may still arrive. The nodes would believe it from
	// then on, unless they know that the new owner has a later epoch.
	to.Must("CLUSTER", "BUMPEPOCH")
	epoch := to.epoch(id)
	for _, r := range c.Nodes {
		r.await("the epoch of another node", func() bool { return r.epoch(id) == epoch })
	}
	for _, r := range append([]*Redis{to}, c.Nodes...) {
		r.Must("CLUSTER", "SETSLOT", slot, "NODE", id)
	}
}

// epoch returns the configuration epoch of a node of the cluster, as r knows it.
func (r *Redis) epoch(id string) string {
	r.t.Helper()
	for line := range strings.Lines(r.Must("CLUSTER", "NODES")) {
		if fields := strings.Fields(line); len(fields) > 6 && strings.HasSuffix(fields[0], id) {
			return fields[6]
		}
	}
	r.t.Fatalf("node %s is not known", id)
	return ""
}
