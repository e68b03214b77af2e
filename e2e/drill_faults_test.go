package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// faults returns all rows of the drill, in their order.
func faults() []row {
	return []row{
		{name: "none", act: func(d *drill) error { return d.pause(3 * time.Second) }},
		{name: "edge killed", act: func(d *drill) error { return d.crash(d.Edges[0], time.Second) }},
		{name: "edge leaves", act: func(d *drill) error { return d.roll(d.Edges[1]) }},
		{name: "all edges rolled, one by one", act: func(d *drill) error { return d.roll(d.Edges...) }},
		{name: "all edges succeeded, one by one", short: true, act: func(d *drill) error { return d.succeed(d.Edges...) }},
		// Publishers of the previous version may refuse a post when they leave.
		{name: "two versions side by side", short: true, stays: true, previous: true, refuses: true, act: twoVersions},
		{name: "edge frozen for 3 s", act: func(d *drill) error { return d.freeze(d.Edges[2], 3*time.Second) }},
		{name: "edge with hundreds of sessions killed", short: true, clients: 600, rate: 60, act: func(d *drill) error { return d.crash(d.Edges[0], 3*time.Second) }},
		{name: "edge killed, 2000 sessions come back at once", act: storm},
		{name: "two edges of three killed at once", act: func(d *drill) error {
			d.Edges[1].Kill()
			return errors.Join(d.crash(d.Edges[2], time.Second), d.Edges[1].Start(d.ctx))
		}},
		{name: "publisher frozen for 3 s", act: func(d *drill) error { return d.freeze(d.Publishers[1], 3*time.Second) }},
		{name: "publisher killed", refuses: true, act: func(d *drill) error { return d.crash(d.Publishers[0], time.Second) }},
		{name: "publishers rolled, one by one", act: func(d *drill) error { return d.roll(d.Publishers...) }},
		{name: "nginx reloaded", act: func(d *drill) error { return errors.Join(d.Nginx.Signal(syscall.SIGHUP), d.pause(2*time.Second)) }},
		{name: "nginx killed", refuses: true, short: true, act: func(d *drill) error { return d.crash(d.Nginx, time.Second) }},
		{name: "keys of all portals changed", act: func(d *drill) error { return d.ChangeKeys(d.ctx) }},

		{name: "Redis away for an edge for 2 s", act: cutLink},
		{name: "Redis links of an edge one-way", short: true, act: func(d *drill) error {
			d.Links[0].Strand()
			return d.pause(5 * time.Second)
		}},
		{name: "Redis one-way for an edge for 5 s", act: func(d *drill) error {
			d.Links[0].StallReplies()
			defer d.Links[0].Resume()
			return d.pause(5 * time.Second)
		}},
		{name: "Redis silent for an edge for 5 s", act: func(d *drill) error {
			d.Links[1].Stall()
			defer d.Links[1].Resume()
			return d.pause(5 * time.Second)
		}},
		{name: "Redis slower by 300 ms for an edge", act: func(d *drill) error {
			d.Links[0].Delay(300 * time.Millisecond)
			defer d.Links[0].Delay(0)
			return d.pause(4 * time.Second)
		}},
		{name: "Redis silent for all edges, then links dead", act: silentThenDead},
		{name: "Redis frozen for 3 s", refuses: true, short: true, act: func(d *drill) error { return d.freeze(d.Redis, 3*time.Second) }},
		{name: "Redis killed, restarted with its AOF", refuses: true, act: func(d *drill) error { return d.crash(d.Redis, time.Second) }},
		{name: "Redis restarted, loading for seconds", refuses: true, env: []string{"PUSHGATE_RECENT_BYTES=0"}, act: loading},
		{name: "Redis full", refuses: true, short: true, act: func(d *drill) error {
			return d.during(3*time.Second, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 256mb")
		}},
		{name: "Redis read-only", refuses: true, act: func(d *drill) error { return d.during(3*time.Second, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE") }},
		{name: "scripts flushed", act: func(d *drill) error { return d.repeat(10, "SCRIPT FLUSH") }},
		{name: "notification links killed", act: func(d *drill) error { return d.repeat(5, "CLIENT KILL TYPE pubsub") }},
		{name: "all links to Redis killed", refuses: true, act: func(d *drill) error { return d.repeat(5, "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub") }},

		{name: "slow readers beside", act: slowReaders},
		{name: "clients gone without a word", env: []string{"PUSHGATE_PING_INTERVAL=2s"}, prepare: throughProxy, act: vanish},
		{name: "clients that flood frames", act: floods},
		{name: "slow handshakes and posts", act: slowSenders},
		hostile(),

		{name: "Redis restarted empty", refuses: true, short: true, loses: true, act: restartEmpty},

		{name: "replica killed", redis: Sentinels, act: func(d *drill) error { return d.crash(d.Servers[1], time.Second) }},
		{name: "sentinels killed", redis: Sentinels, act: func(d *drill) error {
			return errors.Join(d.crash(d.Sentinels[0], 0), d.crash(d.Sentinels[1], 0), d.crash(d.Sentinels[2], time.Second))
		}},
		{name: "failover, writes paused", refuses: true, redis: Sentinels, short: true, act: func(d *drill) error { return d.switchOver(true) }},
		{name: "failover, writes not paused", refuses: true, redis: Sentinels, loses: true, act: func(d *drill) error { return d.switchOver(false) }},
		{name: "master killed", refuses: true, redis: Sentinels, loses: true, act: func(d *drill) error { return d.loseMaster(0) }},
		{name: "master killed, its replica behind", refuses: true, redis: Sentinels, short: true, loses: true, act: func(d *drill) error { return d.loseMaster(600 * time.Millisecond) }},

		{name: "master frozen, replaced, awake again", refuses: true, redis: Sentinels, loses: true, act: oldMaster},

		{name: "node killed, restarted with its AOF", refuses: true, redis: Cluster, short: true, act: func(d *drill) error {
			owner, err := d.owner()
			if err != nil {
				return err
			}
			return errors.Join(d.crash(owner, time.Second), d.awaitCluster(d.ctx, ""))
		}},
		{name: "notification links of all nodes killed", redis: Cluster, act: func(d *drill) error { return d.repeat(5, "CLIENT KILL TYPE pubsub") }},
		{name: "slot of a portal moved to another node", refuses: true, redis: Cluster, act: moveSlot},
		{name: "planned failover of all nodes", refuses: true, redis: ClusterReplicas, act: clusterFailover},
		{name: "node killed, its replica takes over", refuses: true, redis: ClusterReplicas, loses: true, act: promoted},
	}
}

// crash kills a program, and starts it again after a while.
func (d *drill) crash(p *Process, away time.Duration) error {
	p.Kill()
	if err := d.pause(away); err != nil {
		return err
	}
	return p.Start(d.ctx)
}

// roll makes programs leave and start again, one after another. nginx passes over a server that has
// refused a connection for up to two seconds, because its clock has whole seconds here. No other
// program may be down in this time.
func (d *drill) roll(all ...*Process) error {
	for i, p := range all {
		if i > 0 {
			if err := d.pause(2200 * time.Millisecond); err != nil {
				return err
			}
		}
		if err := p.Stop(); err != nil {
			return err
		}
		if err := p.Start(d.ctx); err != nil {
			return err
		}
	}
	return nil
}

// succeed makes each of some edges hand over to a new process.
func (d *drill) succeed(all ...*Process) error {
	for _, p := range all {
		if err := p.Succeed(d.ctx); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops a program (SIGSTOP) for a while.
func (d *drill) freeze(p *Process, t time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(d.pause(t), p.Signal(syscall.SIGCONT))
}

// during sends a command to the Redis servers, and another one after a while.
func (d *drill) during(t time.Duration, first, then string) error {
	return errors.Join(d.tell(first), d.pause(t), d.tell(then))
}

// repeat sends commands to the Redis servers, so many times within three seconds.
func (d *drill) repeat(times int, commands ...string) error {
	for range times {
		if err := errors.Join(d.tell(commands...), d.pause(3*time.Second/time.Duration(times))); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) tell(commands ...string) (err error) {
	for _, p := range d.Servers {
		for _, c := range commands {
			_, e := p.Command(d.ctx, strings.Fields(c)...)
			err = errors.Join(err, e)
		}
	}
	return err
}

func cutLink(d *drill) error {
	d.Links[2].Refuse(true)
	defer d.Links[2].Refuse(false)
	d.Links[2].Cut()
	return d.pause(2 * time.Second)
}

func silentThenDead(d *drill) error {
	for _, link := range d.Links {
		link.Stall()
	}
	err := d.pause(2500 * time.Millisecond)
	for _, link := range d.Links {
		link.Cut()
		link.Resume()
	}
	return err
}

// loading restarts Redis with so much data that it answers -LOADING to everything for a while.
func loading(d *drill) error {
	usual := d.Redis.argv
	// A delay for each of some thousand commands, in microseconds.
	d.Redis.argv = append(slices.Clone(usual), "--key-load-delay", "1000")
	defer func() { d.Redis.argv = usual }()
	d.Redis.Kill()
	var first, last time.Time // that it said so
	ctx, end := context.WithCancel(d.ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			if answer, _ := d.Redis.Command(ctx, "PING"); strings.Contains(answer, "LOADING") {
				if last = time.Now(); first.IsZero() {
					first = last
				}
			}
		}
	})
	err := d.Redis.Start(d.ctx)
	end()
	asking.Wait()
	if took := last.Sub(first); err == nil && took < time.Second {
		err = fmt.Errorf("it was loading only for %v", took)
	}
	return err
}

// restartEmpty restarts Redis without its data, while readers have not read half of their messages.
func restartEmpty(d *drill) error {
	d.Redis.Kill()
	if err := os.RemoveAll(filepath.Join(d.dir, d.Redis.Name, "appendonlydir")); err != nil {
		return err
	}
	return d.Redis.Start(d.ctx)
}
