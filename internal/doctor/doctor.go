// Package doctor checks an installation as an experienced operator would, and says what to do about
// what it finds.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"pushgate/internal/config"
	"pushgate/internal/original"
	"pushgate/internal/portal"
)

// Timeout bounds all checks together. What has not answered by then is unknown.
const Timeout = 30 * time.Second

const (
	// lookTimeout bounds what all checks need: nginx's configuration, and what processes say.
	lookTimeout = 10 * time.Second
	// lateness is how long something may take that was asked to end. What takes longer is left
	// alone: the system may not return from reading a file.
	lateness = 2 * time.Second
)

// Options say what to look at.
type Options struct {
	Environ []string // settings of the programs, as in [os.Environ]
	Nginx   string   // file with the output of "nginx -T"; empty: run it
	Admin   []string // admin ports; empty: those of the programs that run on this machine
	Sample  string   // signed list of channels, or the signature of Body, perhaps in a URL
	Body    []byte   // of a post, whose signature is Sample
	Portal  string   // URL by which browsers reach the portal; empty: not looked at
	Publish string   // the portal's path_to_publish
	Root    string   // of the files of the machine, "/" but for tests
	// How long to open connections and publish after the checks, to find out how many users the
	// installation holds: 0, or from ShortestMeasure to LongestMeasure.
	Measure time.Duration
}

// ErrOptions is the error of [Run] for options that make no sense.
var ErrOptions = errors.New("invalid options")

// exam is one run of all checks. Its fields are immutable once the checks run.
type exam struct {
	Options
	root      root
	settings  config.Publisher // of the programs, complete only if faults is nil
	faults    error
	portals   *portal.Table // nil if they cannot be read
	portalWhy error
	nginx     *conf // nil if it cannot be read, and why says so
	nginxWhy  reason
	nginxText string // what was read, or the error
	programs  []program
	processes []process
}

// Run makes all checks and returns what they have found. It changes nothing, except that with
// Options.Portal it posts a few messages of a minute's life to channels of its own, and many with
// Options.Measure. It returns within [Timeout] and Options.Measure, whatever does not answer.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Portal != "" {
		if u, err := url.Parse(o.Portal); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return Report{}, errors.Join(ErrOptions, errors.New("--portal is not an address such as https://portal.example.com"))
		}
	}
	if o.Measure != 0 && (o.Measure < ShortestMeasure || o.Measure > LongestMeasure) {
		return Report{}, errors.Join(ErrOptions, fmt.Errorf("--measure takes from %s to %s", ShortestMeasure, LongestMeasure))
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, Timeout-lateness)
	defer cancel()
	e := &exam{Options: o, root: root(o.Root)}
	e.load()
	e.look(ctx)

	groups := []group{
		{"redis", redisIDs, e.redis},
		{"nginx", nginxIDs, e.judgeNginx},
		{"machine", machineIDs, e.machine},
		{"processes", processIDs, e.judgeProcesses},
		{"keys", keyIDs, e.keys},
		{"others", otherIDs, e.others},
	}
	if o.Portal != "" {
		groups = append(groups, group{"portal", portalIDs, e.portal})
	}
	sheets := make([]*sheet, len(groups))
	var second sync.WaitGroup
	for i, g := range groups {
		second.Go(func() {
			sheets[i] = within(ctx, newSheet(g.ids), func() *sheet {
				s := newSheet(g.ids)
				g.check(ctx, s)
				return s
			})
		})
	}
	second.Wait()
	var report Report
	for i, g := range groups {
		report.Findings = append(report.Findings, sheets[i].findings(g.name)...)
	}
	if o.Measure > 0 {
		s := newSheet(capacityIDs)
		report.Capacity = e.capacity(whole, s)
		report.Findings = append(report.Findings, s.findings("capacity")...)
	}
	return report, nil
}

// look reads and asks what all checks need.
func (e *exam) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	silent := nginxDump{why: noNginx, text: "nginx -T: " + context.DeadlineExceeded.Error()}
	if e.Nginx != "" {
		silent = nginxDump{why: noNginxFile, text: e.Nginx + ": " + context.DeadlineExceeded.Error()}
	}
	e.programs = within(ctx, nil, e.root.programs)
	var looking sync.WaitGroup
	var dump nginxDump
	looking.Go(func() { dump = within(ctx, silent, func() nginxDump { return e.readNginx(ctx) }) })
	looking.Go(func() { e.processes = within(ctx, nil, func() []process { return e.askProcesses(ctx) }) })
	looking.Wait()
	e.nginx, e.nginxWhy, e.nginxText = dump.conf, dump.why, dump.text
}

// within returns what do returns, or otherwise if that has not returned when ctx has ended and a
// while after. do must change nothing that is used later.
func within[T any](ctx context.Context, otherwise T, do func() T) T {
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case result := <-done:
		return result
	case <-ctx.Done():
	}
	select {
	case result := <-done:
		return result
	case <-time.After(lateness):
		return otherwise
	}
}

// group is a number of checks that look at the same thing.
type group struct {
	name  string
	ids   []string
	check func(context.Context, *sheet)
}

// load reads the settings. A publisher's are enough: an edge's have the same Redis and keys.
func (e *exam) load() {
	translated, err := original.Translate(e.Environ)
	if err == nil {
		e.settings, err = config.LoadPublisher(translated.Environ)
	}
	if e.faults = err; err == nil {
		e.portals, err = e.settings.Portals()
	}
	e.portalWhy = err
}

// sheet collects what the checks of a group find. Its methods must not be called concurrently.
type sheet struct {
	ids   []string
	found map[string]*Finding
}

func newSheet(ids []string) *sheet { return &sheet{ids, map[string]*Finding{}} }

// add notes what a check has found at one place. Of several places the worst state counts, and the
// evidence is of all that are bad.
func (s *sheet) add(id string, state State, evidence ...string) {
	f := s.found[id]
	bad := func(state State) bool { return state.rank() >= Warning.rank() }
	switch {
	case f == nil || bad(state) && !bad(f.State):
		s.found[id] = &Finding{ID: id, State: state, Evidence: evidence}
	case state.rank() > f.State.rank():
		s.found[id] = &Finding{ID: id, State: state, Evidence: append(evidence, f.Evidence...)}
	case state == f.State || bad(state):
		f.Evidence = append(f.Evidence, evidence...)
	}
}

// check adds a finding that is bad if wrong, and else ok.
func (s *sheet) check(id string, wrong bool, bad State, evidence string) {
	if wrong {
		s.add(id, bad, evidence)
		return
	}
	s.add(id, OK, evidence)
}

// unknown notes why a check cannot know anything, unless it has found something elsewhere.
func (s *sheet) unknown(why reason, evidence string, ids ...string) {
	for _, id := range ids {
		if s.found[id] == nil {
			s.found[id] = &Finding{ID: id, State: Unknown, why: why}
			if evidence != "" {
				s.found[id].Evidence = []string{evidence}
			}
		}
	}
}

// findings returns one for each check, in the order of the ids.
func (s *sheet) findings(group string) (all []Finding) {
	s.unknown(notLooked, "", s.ids...)
	for _, id := range s.ids {
		f := *s.found[id]
		f.Group = group
		f.Evidence = unique(f.Evidence)
		all = append(all, f)
	}
	return all
}

// unique returns texts without repetitions: a file may be included in several places.
func unique(texts []string) (all []string) {
	seen := map[string]bool{}
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			all = append(all, text)
		}
	}
	return all
}
