package doctor

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// sample is what an installation uses at a moment. CPU time is since the start of each program.
// What is not known is negative.
type sample struct {
	at        time.Time
	processes []process
	bad       string // a process that is not ready, and why; "" if all are
	redis     time.Duration
	nginx     time.Duration // the CPU time of its workers that run on this machine
	nginxSize float64       // bytes in memory of the same
	kernel    float64       // bytes of the kernel's objects, among them those of sockets
	available float64       // bytes of memory of this machine that programs can still get
	busy      time.Duration // CPU time of this machine
}

// sample asks the processes and looks at the machine. It does so also when ctx has ended, within
// the time that one process may take.
func (m *measurement) sample(ctx context.Context) sample {
	ctx = context.WithoutCancel(ctx)
	s := sample{redis: -1, nginx: -1, nginxSize: -1, kernel: -1, available: -1, busy: -1}
	s.processes = m.exam.askProcesses(ctx)
	s.at = time.Now()
	for _, p := range s.processes {
		if s.bad == "" && p.err != nil {
			s.bad = p.address + ": " + p.err.Error()
		} else if s.bad == "" && p.status != http.StatusOK {
			s.bad = p.address + ": " + strconv.Itoa(p.status) + " " + p.ready
		}
	}
	if m.store != nil {
		if nodes, err := m.store.Inspect(ctx); err == nil {
			s.redis = 0
			for _, n := range nodes {
				s.redis += n.CPU
			}
		}
	}
	s.machine(m.exam.root, m.exam.programs)
	return s
}

// sum adds up a metric of those processes that have another one.
func (s sample) sum(metric, of string) (sum float64) {
	for _, p := range s.processes {
		if p.is(of) {
			sum += p.metrics[metric]
		}
	}
	return sum
}

const (
	isEdge      = "pushgate_subscribed"
	isPublisher = "pushgate_published_total"
)

func (s sample) edges(metric string) float64 { return s.sum(metric, isEdge) }

// connections returns how many users are connected.
func (s sample) connections() float64 { return s.edges("pushgate_connections") }

// cpu returns the CPU time of the processes that have a metric; of all for "".
func (s sample) cpu(of string) time.Duration {
	seconds := 0.0
	for _, p := range s.processes {
		if of == "" || p.is(of) {
			seconds += p.metrics["process_cpu_seconds_total"]
		}
	}
	return time.Duration(seconds * float64(time.Second))
}

// tick is the unit of CPU time in the kernel's files, the same for all programs on Linux.
const tick = 10 * time.Millisecond

// machine reads what the kernel says.
func (s *sample) machine(r root, programs []program) {
	text, _ := r.read("proc/meminfo")
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, err := strconv.ParseFloat(fields[1], 64)
		switch {
		case err != nil:
		case fields[0] == "MemAvailable:":
			s.available = kilobytes * 1024
		case fields[0] == "SUnreclaim:":
			s.kernel = kilobytes * 1024
		}
	}
	if text, err := r.read("proc/stat"); err == nil {
		first, _, _ := strings.Cut(text, "\n")
		s.busy = 0
		for i, field := range strings.Fields(first) {
			// cpu user nice system idle iowait irq softirq steal; the guests' are in user.
			if n, err := strconv.Atoi(field); err == nil && i != 4 && i != 5 && i < 9 {
				s.busy += time.Duration(n) * tick
			}
		}
	}
	for _, p := range programs {
		if p.name != "nginx" || !strings.Contains(p.command, "worker process") {
			continue
		}
		text, _ := r.read("proc/" + p.pid + "/stat")
		_, text, _ = strings.Cut(text, ") ")
		fields := strings.Fields(text) // from the third field on
		if len(fields) < 22 {
			continue
		}
		user, bad := strconv.Atoi(fields[11])
		system, worse := strconv.Atoi(fields[12])
		pages, worst := strconv.Atoi(fields[21])
		if bad != nil || worse != nil || worst != nil {
			continue
		}
		s.nginx = max(0, s.nginx) + time.Duration(user+system)*tick
		s.nginxSize = max(0, s.nginxSize) + float64(pages*os.Getpagesize())
	}
}
