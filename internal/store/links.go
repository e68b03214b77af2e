package store

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// subscriber is a client of one node.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// links are the connections over which Redis notifies this process, one for each node with a portal
// that is followed.
type links struct {
	rdb     redis.UniversalClient // immutable
	cfg     Config                // immutable, with defaults
	sharded bool                  // it is a cluster; immutable

	mu    sync.Mutex
	nodes map[subscriber]*link // those that have listeners
}

func newLinks(rdb redis.UniversalClient, cfg Config) *links {
	_, cluster := rdb.(*redis.ClusterClient)
	return &links{rdb: rdb, cfg: cfg, sharded: cluster, nodes: make(map[subscriber]*link)}
}

// node returns the client of the node that keeps a topic.
func (ls *links) node(ctx context.Context, name string) (subscriber, error) {
	cluster, ok := ls.rdb.(*redis.ClusterClient)
	if !ok {
		return ls.rdb, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ls.cfg.Timeout)
	defer cancel()
	return cluster.MasterForKey(ctx, name)
}

// reload asks a cluster again which node keeps which slots.
func (ls *links) reload(ctx context.Context) {
	if cluster, ok := ls.rdb.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// listen returns a new listener to a topic. The caller must pass it to leave.
func (ls *links) listen(ctx context.Context, name string) (*listener, error) {
	node, err := ls.node(ctx, name)
	if err != nil {
		ls.reload(ctx)
		return nil, err
	}
	ls.mu.Lock()
	k := ls.nodes[node]
	if k == nil {
		// The first listener may leave before the others.
		life, end := context.WithCancel(context.WithoutCancel(ctx))
		k = &link{links: ls, node: node, end: end, wake: make(chan struct{}, 1), topics: make(map[string]*topic)}
		ls.nodes[node] = k
		k.running.Go(func() { k.run(life) })
	}
	k.holders++
	ls.mu.Unlock()
	return k.add(name), nil
}

// leave removes a listener. The last to leave a link waits for its end.
func (ls *links) leave(n *listener) {
	k := n.link
	k.remove(n)
	ls.mu.Lock()
	k.holders--
	last := k.holders == 0
	if last {
		delete(ls.nodes, k.node)
	}
	ls.mu.Unlock()
	if last {
		k.end()
		k.running.Wait()
	}
}
