package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage is what some processes have used so far.
type usage struct {
	memory, storeMemory   int64 // resident bytes
	cpu, storeCPU, ownCPU time.Duration
}

// meter reads what the server uses: from /proc for processes of this machine, else from its
// /metrics.
type meter struct {
	server, store []int
	metrics       []string
	client        *http.Client
}

func newMeter(server, store []int, metrics []string) (*meter, error) {
	m := &meter{metrics: metrics, client: &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	if len(server)+len(store) > 0 {
		children, err := descendants()
		if err != nil {
			return nil, err
		}
		m.server, m.store = withChildren(server, children), withChildren(store, children)
	}
	_, err := m.read()
	return m, err
}

// local reports whether the processes are on this machine, so that reading takes hardly any time.
func (m *meter) local() bool { return len(m.metrics) == 0 }

// read returns what has been used until now.
func (m *meter) read() (u usage, err error) {
	for _, pid := range m.server {
		if err := readProcess(pid, &u.memory, &u.cpu); err != nil {
			return u, err
		}
	}
	for _, pid := range m.store {
		if err := readProcess(pid, &u.storeMemory, &u.storeCPU); err != nil {
			return u, err
		}
	}
	for _, url := range m.metrics {
		if err := m.scrape(url, &u.memory, &u.cpu); err != nil {
			return u, err
		}
	}
	var own int64
	if err := readProcess(os.Getpid(), &own, &u.ownCPU); err != nil && len(m.server) > 0 {
		return u, err
	}
	return u, nil
}

// readProcess adds what one process uses.
func readProcess(pid int, memory *int64, cpu *time.Duration) error {
	used, err := processTime(pid)
	if err != nil {
		return err
	}
	*cpu += used
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	parts := strings.Fields(string(text))
	if len(parts) < 2 {
		return fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseInt(parts[1], 10, 64)
	*memory += pages * int64(os.Getpagesize())
	return err
}

// statFields returns the fields after the name of a process, which may contain anything.
func statFields(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return nil, fmt.Errorf("%s/stat: %q", dir, text)
	}
	return fields, nil
}

// descendants returns the children of every process.
func descendants() (map[int][]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, dir := range dirs {
		fields, err := statFields(dir)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	return children, nil
}

func withChildren(pids []int, children map[int][]int) (all []int) {
	for queue := slices.Clone(pids); len(queue) > 0; queue = queue[1:] {
		if !slices.Contains(all, queue[0]) {
			all = append(all, queue[0])
			queue = append(queue, children[queue[0]]...)
		}
	}
	return all
}

// scrape adds the metrics of a process.
func (m *meter) scrape(url string, memory *int64, cpu *time.Duration) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := m.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	rss, seconds, err := parseMetrics(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	*memory += int64(rss)
	*cpu += time.Duration(seconds * float64(time.Second))
	return nil
}

// parseMetrics finds the two metrics that every Prometheus client library has of its process.
func parseMetrics(r io.Reader) (memory, cpu float64, err error) {
	found := 0
	for lines := bufio.NewScanner(r); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to := map[string]*float64{"process_resident_memory_bytes": &memory, "process_cpu_seconds_total": &cpu}[name]
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return 0, 0, err
		}
		found++
	}
	if found != 2 {
		return 0, 0, errors.New("process_resident_memory_bytes and process_cpu_seconds_total are missing")
	}
	return memory, cpu, nil
}
