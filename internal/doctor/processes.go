package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pushgate/internal/config"
	"pushgate/internal/store"
)

var processIDs = []string{"processes.found", "processes.ready", "processes.versions", "processes.clock", "processes.descriptors", "processes.lost",
	"processes.posts"}

const (
	askTimeout     = 5 * time.Second // for one process
	maxProcesses   = 200
	maxMetrics     = 8 << 20 // bytes of an answer
	maxReady       = 4 << 10
	maxSeries      = 1000 // names of metrics; the programs have a few hundred
	maxSeriesName  = 128  // bytes
	fewDescriptors = 8192
	clockSkew      = 3 * time.Second // the header Date has whole seconds
)

// process is what a process of pushgate says of itself on its admin port.
type process struct {
	address string
	err     error // why it does not answer
	status  int   // of /readyz
	ready   string
	skew    time.Duration // its clock against ours
	version string
	// The metrics that have no label, or the sums of those that do.
	metrics map[string]float64
}

// is reports whether a process has a metric, by which an edge and a publisher are told apart.
func (p process) is(metric string) bool { _, ok := p.metrics[metric]; return ok }

// adminAddresses returns the admin ports to ask: those of the options, or of the programs that run
// on this machine.
func (e *exam) adminAddresses() []string {
	if len(e.Admin) > 0 {
		return e.Admin[:min(len(e.Admin), maxProcesses)]
	}
	var all []string
	note := func(environ []string) {
		for _, pair := range environ {
			address, ok := strings.CutPrefix(pair, config.Prefix+"ADMIN_LISTEN=")
			if _, port, _ := net.SplitHostPort(address); ok && (port != "0" && port != "" || strings.HasPrefix(address, "unix:")) {
				all = append(all, address)
			}
		}
	}
	note(e.Environ)
	for _, p := range e.programs {
		if p.ours() {
			note(e.root.environ(p.pid))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxProcesses)]
}

// askProcesses asks all processes at once.
func (e *exam) askProcesses(ctx context.Context) []process {
	addresses := e.adminAddresses()
	processes := make([]process, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { processes[i] = askProcess(ctx, address) })
	}
	asking.Wait()
	return processes
}

func askProcess(ctx context.Context, address string) process {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	p := process{address: address, metrics: map[string]float64{}}
	client := plainClient(address)
	defer client.CloseIdleConnections()
	begin := time.Now()
	answer, body, err := fetch(ctx, client, "http://localhost/readyz", maxReady)
	if err != nil {
		p.err = err
		return p
	}
	p.status, p.ready = answer.StatusCode, strings.TrimSpace(body)
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		p.skew = skew(date, begin, time.Now())
	}
	if answer, err = request(ctx, client, "http://localhost/metrics"); err != nil {
		p.err = errors.Join(err, errNoMetrics)
		return p
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p.err = errNoMetrics
	} else if err := p.readMetrics(io.LimitReader(answer.Body, maxMetrics)); err != nil {
		p.err = errors.Join(err, errNoMetrics)
	}
	return p
}

var errNoMetrics = errors.New("no /metrics")

// skew returns how far a clock is from ours that said the second it had between two moments.
func skew(said, begin, end time.Time) time.Duration {
	switch {
	case said.Add(time.Second).Before(begin):
		return said.Add(time.Second).Sub(begin)
	case said.After(end):
		return said.Sub(end)
	}
	return 0
}

// plainClient returns a client that connects to one address, as the settings write it.
func plainClient(address string) *http.Client {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var dialer net.Dialer
	return &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request returns an answer, whose body the caller must close.
func request(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, errors.Unwrap(err) // without the address, which is not the real one
	}
	return answer, nil
}

// fetch returns an answer and at most limit bytes of its body.
func fetch(ctx context.Context, client *http.Client, url string, limit int64) (*http.Response, string, error) {
	answer, err := request(ctx, client, url)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit))
	return answer, string(body), err
}

var buildVersion = regexp.MustCompile(`commit="([^"]*)".*version="([^"]*)"`)

// readMetrics reads the text format of Prometheus, as far as the checks need it. Whoever answers
// may be no program of ours: only so many names are kept, and the rest is ignored.
func (p *process) readMetrics(text io.Reader) error {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), "} ")
		name, labels, labelled := strings.Cut(series, "{")
		if !labelled {
			if name, value, ok = strings.Cut(lines.Text(), " "); !ok {
				continue
			}
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !ok || strings.HasPrefix(name, "#") || len(name) > maxSeriesName || len(p.metrics) >= maxSeries && !p.is(name) {
			continue
		}
		name = strings.Clone(name) // it would keep its line
		if name == "pushgate_build_info" {
			if match := buildVersion.FindStringSubmatch(labels); match != nil {
				p.version = match[2] + " " + match[1]
			}
		}
		if labels == `reason="forbidden"` {
			p.metrics[name+" forbidden"] = n
		}
		p.metrics[name] += n
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	return nil
}

// judgeProcesses judges what the processes have said.
func (e *exam) judgeProcesses(ctx context.Context, s *sheet) {
	if len(e.processes) == 0 {
		s.unknown(noProcesses, "", processIDs...)
		return
	}
	edges, publishers, versions := 0, 0, map[string][]string{}
	for _, p := range e.processes {
		if p.err != nil {
			s.add("processes.ready", Error, p.address+": "+p.err.Error())
			continue
		}
		is := func(format string, args ...any) string { return p.address + ": " + fmt.Sprintf(format, args...) }
		s.check("processes.ready", p.status != http.StatusOK, Error, is("%d %s", p.status, p.ready))
		s.check("processes.clock", p.skew.Abs() > clockSkew, Warning, is("%+v", p.skew))
		if p.is("pushgate_subscribed") {
			edges++
		}
		if p.is("pushgate_published_total") {
			publishers++
			published, forbidden := p.metrics["pushgate_published_total"], p.metrics["pushgate_publish_refused_total forbidden"]
			s.check("processes.posts", forbidden > published, Error, is("pushgate_published_total %.0f, pushgate_publish_refused_total{reason=\"forbidden\"} %.0f", published, forbidden))
		}
		versions[p.version] = append(versions[p.version], p.address)
		open, most := p.metrics["process_open_fds"], p.metrics["process_max_fds"]
		switch saw := is("process_open_fds %.0f, process_max_fds %.0f", open, most); {
		case most == 0:
			s.unknown(noMetric, p.address, "processes.descriptors")
		case open > most*0.8:
			s.add("processes.descriptors", Error, saw)
		default:
			s.check("processes.descriptors", most < fewDescriptors, Warning, saw)
		}
		gaps, damaged := p.metrics["pushgate_gaps_total"], p.metrics["pushgate_damaged_records_total"]
		s.check("processes.lost", gaps+damaged > 0, Warning, is("pushgate_gaps_total %.0f, pushgate_damaged_records_total %.0f", gaps, damaged))
	}
	s.check("processes.found", edges == 0 || publishers == 0, Error, fmt.Sprintf("edge: %d, publisher: %d", edges, publishers))
	for version, addresses := range versions {
		s.check("processes.versions", len(versions) > 1, Warning, version+": "+strings.Join(addresses, " "))
	}
	if f := s.found["processes.versions"]; f != nil {
		slices.Sort(f.Evidence)
	}
	e.clocks(ctx, s)
	s.unknown(noAnswer, "", processIDs...)
}

// clocks compares our clock with that of Redis, and with those of the processes that have put their
// statistics there, wherever they run.
func (e *exam) clocks(ctx context.Context, s *sheet) {
	if e.faults != nil {
		return
	}
	client, err := store.Open(e.settings.RedisURL)
	if err != nil {
		return
	}
	defer client.Close()
	st := store.New(client, store.Config{})
	begin := time.Now()
	said, err := st.Time(ctx)
	if err != nil {
		return // which is said elsewhere
	}
	off := said.Sub(begin.Add(time.Since(begin) / 2))
	s.check("processes.clock", off.Abs() > clockSkew, Warning, fmt.Sprintf("Redis: %+v", off.Round(time.Millisecond)))
	processes, err := st.Processes(ctx)
	if err != nil {
		return
	}
	for _, p := range processes[:min(len(processes), maxProcesses)] {
		// It was written within the lease, by a clock that may be wrong.
		age := said.Sub(time.UnixMilli(p.Date))
		s.check("processes.clock", age < -clockSkew || age > store.ProcessLease+clockSkew, Warning, fmt.Sprintf("%s: %+v", p.ID, -age.Round(time.Millisecond)))
	}
}
