package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readyWithin is how long a program may take to become ready on a busy machine.
const readyWithin = 20 * time.Second

// Process is one program of a [World], which may be stopped, killed and started again. Its methods
// must not be called concurrently.
type Process struct {
	Name  string
	Addr  string // where it serves; empty for Redis
	Admin string // base address of its admin port; empty for Redis and nginx

	world *World
	argv  []string
	env   []string
	ready func(context.Context) error

	cmd  *exec.Cmd
	exit chan error // receives one value when the program has ended
	pid  atomic.Int64
}

// Setenv returns the program variables, in the form of [os.Environ], from its next start on. They
// come before those it has.
func (p *Process) Setenv(pairs ...string) { p.env = append(p.env, pairs...) }

// Use makes the program that of another directory, from its next start on.
func (p *Process) Use(bin string) { p.argv[0] = filepath.Join(bin, filepath.Base(p.argv[0])) }

// Start runs the program and waits until it is ready.
func (p *Process) Start(ctx context.Context) error {
	log, err := os.OpenFile(p.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.world.launcher.start(cmd); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	exit := make(chan error, 1)
	p.world.waiting.Go(func() { exit <- cmd.Wait() })
	p.cmd, p.exit = cmd, exit
	p.pid.Store(int64(cmd.Process.Pid))
	return p.Await(ctx, func(ctx context.Context) error { return p.ready(ctx) })
}

// Succeed starts the program a second time while it runs, and returns when the new process has
// taken over and the old one has left. It is for programs with a PUSHGATE_HANDOVER.
func (p *Process) Succeed(ctx context.Context) error {
	pid, exit := p.cmd.Process.Pid, p.exit
	err := p.Start(ctx) // it is the old one who is ready, or the new one
	if err == nil {
		select {
		case end := <-exit:
			if end != nil {
				err = fmt.Errorf("%s left to its successor with %w\n%s", p.Name, end, p.tail())
			}
			return err
		case <-time.After(time.Minute):
			err = fmt.Errorf("%s does not leave to its successor\n%s", p.Name, p.tail())
		}
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-exit
	return err
}

// Await polls cond until it returns nil. It fails if the program ends, or after [readyWithin].
func (p *Process) Await(ctx context.Context, cond func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		select {
		case end := <-p.exit:
			p.exit <- end
			return fmt.Errorf("%s ended: %v\n%s", p.Name, end, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w after %v\n%s", p.Name, err, readyWithin, p.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// SignalGroup sends a signal to the program and to those that it has started.
func (p *Process) SignalGroup(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// Kill kills the program and those that it has started, and waits until it has ended.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.SignalGroup(syscall.SIGKILL) // it is the leader of a group of its own
	p.exit <- <-p.exit
	p.cmd = nil
}

// Stop asks the program to leave and waits for its end. It returns an error if the exit code is not
// 0, or if the program does not end within a minute.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case end := <-p.exit:
		p.cmd, p.exit = nil, nil
		if end != nil {
			return fmt.Errorf("%s left with %w\n%s", p.Name, end, p.tail())
		}
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not leave\n%s", p.Name, p.tail())
	}
}

// Metric returns the value of one series of the program, written as /metrics does:
// name{label="value"}. One that is not there is 0.
func (p *Process) Metric(ctx context.Context, series string) (float64, error) {
	text, err := get(ctx, p.Admin+"/metrics")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Name, err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil
}

// Peak returns the most bytes of memory that the program has used since its start or the last
// [Process.ResetPeak]; 0 if it does not run. It may be called concurrently with all methods.
func (p *Process) Peak() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid.Load()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0 // it is a zombie
}

// ResetPeak begins a new measurement of [Process.Peak]. Where the kernel does not allow it, peaks
// are those since the start.
func (p *Process) ResetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid.Load()), []byte("5"), 0)
}

// Log returns what the program has written since its first start.
func (p *Process) Log() []byte {
	text, err := os.ReadFile(p.log())
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func (p *Process) log() string { return p.world.dir + "/" + p.Name + ".log" }

func (p *Process) tail() []byte {
	lines := bytes.SplitAfter(p.Log(), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], nil)
}

// get returns the body of an answer of 200.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(body))
	}
	return string(body), err
}

// launcher starts all programs from one thread, which lives as long as the test binary. The kernel
// kills them with that thread, also when the test binary is killed or panics.
type launcher struct {
	jobs chan func()
	done sync.WaitGroup
}

func newLauncher() *launcher {
	l := &launcher{jobs: make(chan func())}
	l.done.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for job := range l.jobs {
			job()
		}
	})
	return l
}

func (l *launcher) start(cmd *exec.Cmd) error {
	started := make(chan error)
	l.jobs <- func() { started <- cmd.Start() }
	return <-started
}

func (l *launcher) close() {
	close(l.jobs)
	l.done.Wait()
}
