package e2e

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"
)

// switchOver makes the sentinels promote the replica although the master works.
func (d *drill) switchOver(paused bool) error {
	old, err := d.Master(d.ctx)
	if err != nil {
		return err
	}
	if paused {
		// Posts from before have reached the replica when the sentinels promote it. Posts that come
		// now wait, and fail.
		if _, err := old.Command(d.ctx, "CLIENT", "PAUSE", "3000", "WRITE"); err != nil {
			return err
		}
		if err := d.pause(200 * time.Millisecond); err != nil {
			return err
		}
	}
	if _, err := d.Sentinels[0].Command(d.ctx, "SENTINEL", "FAILOVER", masterName); err != nil {
		return err
	}
	return d.awaitMaster(old)
}

// loseMaster kills the master after its replica was cut off for a while. It waits until the replica
// is the master and the old master has come back as its replica.
func (d *drill) loseMaster(behind time.Duration) error {
	old, err := d.Master(d.ctx)
	if err != nil {
		return err
	}
	replica := d.Servers[0]
	if replica == old {
		replica = d.Servers[1]
	}
	if behind > 0 {
		if err := replica.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		if _, err := old.Command(d.ctx, "CLIENT", "KILL", "TYPE", "replica"); err != nil {
			return err
		}
		if err := d.pause(behind); err != nil {
			return err
		}
	}
	old.Kill()
	if behind > 0 {
		if err := replica.Signal(syscall.SIGCONT); err != nil {
			return err
		}
	}
	if err := d.awaitMaster(old); err != nil {
		return err
	}
	return old.Start(d.ctx)
}

// oldMaster stops the master (SIGSTOP) until its replica has taken over, and then lets it go on. It
// appends and notifies what was sent to it before, under ids that the new master assigns to
// other messages.
func oldMaster(d *drill) error {
	old, err := d.Master(d.ctx)
	if err != nil {
		return err
	}
	if err := old.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := errors.Join(d.awaitMaster(old), old.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	return old.Await(d.ctx, func(ctx context.Context) error { return old.says(ctx, "role:slave", "INFO", "replication") })
}

// awaitMaster returns when all sentinels report another master than the old one.
func (d *drill) awaitMaster(old *Process) error {
	return d.Sentinels[0].Await(d.ctx, func(ctx context.Context) error {
		now, err := d.Master(ctx)
		if err == nil && now == old {
			err = errors.New("the sentinels keep to the old master")
		}
		if err != nil {
			return err
		}
		return now.says(ctx, "role:master", "INFO", "replication")
	})
}

// owner returns the master that has the log of the first portal.
func (d *drill) owner() (*Process, error) {
	for _, p := range d.Servers {
		if p.says(d.ctx, "role:master", "INFO", "replication") != nil {
			continue
		}
		keys, err := p.Command(d.ctx, "EXISTS", "pg:{"+d.Portals[0].ClientID+"}:head")
		if err == nil && keys == "1" {
			return p, nil
		}
	}
	return nil, errors.New("no node has the log of the first portal")
}

// moveSlot moves all keys of the first portal to another node, as resharding does.
func moveSlot(d *drill) error {
	from, err := d.owner()
	if err != nil {
		return err
	}
	to := d.Servers[0]
	if to == from {
		to = d.Servers[1]
	}
	slot, err := from.Command(d.ctx, "CLUSTER", "KEYSLOT", "{"+d.Portals[0].ClientID+"}")
	if err != nil {
		return err
	}
	source, err := from.Command(d.ctx, "CLUSTER", "MYID")
	if err != nil {
		return err
	}
	target, err := to.Command(d.ctx, "CLUSTER", "MYID")
	if err != nil {
		return err
	}
	_, err = to.Command(d.ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	if err == nil {
		_, err = from.Command(d.ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	}
	host, port, _ := net.SplitHostPort(to.Addr)
	for err == nil {
		var keys string
		if keys, err = from.Command(d.ctx, "CLUSTER", "GETKEYSINSLOT", slot, "100"); keys == "" {
			break
		}
		_, err = from.Command(d.ctx, append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, strings.Fields(keys)...)...)
	}
	for _, p := range []*Process{to, from, d.Servers[0], d.Servers[1], d.Servers[2]} {
		if err == nil {
			_, err = p.Command(d.ctx, "CLUSTER", "SETSLOT", slot, "NODE", target)
		}
	}
	return err
}

// clusterFailover makes every replica change roles with its master.
func clusterFailover(d *drill) error {
	for _, p := range d.Servers {
		if p.says(d.ctx, "role:slave", "INFO", "replication") != nil {
			continue
		}
		if _, err := p.Command(d.ctx, "CLUSTER", "FAILOVER"); err != nil {
			return err
		}
		if err := p.Await(d.ctx, func(ctx context.Context) error { return p.says(ctx, "role:master", "INFO", "replication") }); err != nil {
			return err
		}
	}
	return nil
}

// promoted kills a node whose replica is behind, and waits until the replica is the master.
func promoted(d *drill) error {
	old, err := d.owner()
	if err != nil {
		return err
	}
	var replica *Process
	_, port, _ := net.SplitHostPort(old.Addr)
	for _, p := range d.Servers {
		if p.says(d.ctx, "master_port:"+port, "INFO", "replication") == nil {
			replica = p
		}
	}
	if replica == nil {
		return errors.New("the node has no replica")
	}
	if err := replica.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if _, err := old.Command(d.ctx, "CLIENT", "KILL", "TYPE", "replica"); err != nil {
		return err
	}
	if err := d.pause(600 * time.Millisecond); err != nil {
		return err
	}
	old.Kill()
	if err := replica.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := replica.Await(d.ctx, func(ctx context.Context) error { return replica.says(ctx, "role:master", "INFO", "replication") }); err != nil {
		return err
	}
	return errors.Join(old.Start(d.ctx), d.awaitCluster(d.ctx, ""))
}
