package adopt

import (
	"errors"
	"fmt"
	"io/fs"

	"pushgate/internal/adopt/shellvars"
	"pushgate/internal/config"
	"pushgate/internal/original"
)

// place is where something was found: a file below the root, and a line of it if there is one.
type place struct {
	file string
	line int
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// finding is something that was found.
type finding struct {
	at   place
	text string
}

// fault is something that is wrong today.
type fault struct {
	at          place
	problem     string
	consequence string
	remedy      string
}

// kind is how the original is deployed.
type kind int

const (
	machine    kind = iota // services of the system, as on the vendor's virtual machine
	compose                // Docker compose
	kubernetes             // manifests or a chart
)

// process is one program of the original, or several that differ in their port.
type process struct {
	name  string // of its service, empty on a machine
	role  original.Role
	host  string // that it listens on, empty if unknown
	ports []int
	at    place
}

// setting is a value for one of pushgate's variables.
type setting struct {
	value string
	at    place
}

// secret is a signature key. It is never printed.
type secret struct {
	value string
	at    place
}

// survey is what was found below a root.
type survey struct {
	fsys fs.FS
	kind kind

	found   []finding
	faults  []fault
	dropped []finding // settings that are not carried over, with the reason
	broken  []fault   // what must be put right before there can be a plan

	processes []process
	keys      []secret           // of the original's processes
	settings  map[string]setting // by the name of pushgate's variable
	services  []service          // of compose files
	contained []service          // those of them that run the original with settings from files
	subnets   []setting          // of the networks of compose files
	hosts     map[string]string  // addresses by name
	envFiles  map[string][]shellvars.Var
	badEnv    map[string][]*shellvars.Error
	referred  map[string]bool // env files whose variables compose files refer to
	centos7   place           // what shows that the system is CentOS 7
	nginx     nginxSurvey
	missing   []string // public locations that nginx lacks
	hasAPI    bool     // nginx has a location for version 5
	portals   []portal
	rollback  map[string][]byte // files that the plan changes, as they are
}

func (s *survey) note(at place, format string, args ...any) {
	s.found = append(s.found, finding{at, fmt.Sprintf(format, args...)})
}

func (s *survey) drop(at place, format string, args ...any) {
	s.dropped = append(s.dropped, finding{at, fmt.Sprintf(format, args...)})
}

func (s *survey) wrong(at place, problem, consequence, remedy string) {
	s.faults = append(s.faults, fault{at, problem, consequence, remedy})
}

// unreadable notes a file that must be put right first.
func (s *survey) unreadable(at place, problem, remedy string) {
	s.broken = append(s.broken, fault{at: at, problem: problem, remedy: remedy})
}

// set notes a value for a variable of pushgate. Of two that differ, the first counts.
//
// A value that pushgate does not accept is a fault, and is left out.
func (s *survey) set(name, value string, at place) {
	_, err := config.LoadEdge([]string{config.Prefix + "KEYS=any key of 16 bytes", name + "=" + value})
	if faults := (config.Faults)(nil); errors.As(err, &faults) {
		s.wrong(at, name+": "+faults[0].Problem, "pushgate does not start with it, so the plan leaves it out", faults[0].Hint)
		return
	}
	if before, ok := s.settings[name]; ok {
		if before.value != value {
			s.wrong(at, fmt.Sprintf("it says %s for what is %s in %s", value, before.value, before.at),
				"the original's processes do not agree with one another", "make both the same; the plan takes the first")
		}
		return
	}
	s.settings[name] = setting{value, at}
}
