package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// State is what a check has found.
type State string

// The states.
const (
	OK      State = "ok"
	Unknown State = "unknown" // it could not look, and says why
	Warning State = "warning" // it works today
	Error   State = "error"   // it does not work, or messages or secrets are in danger
)

func (s State) rank() int {
	return map[State]int{OK: 0, Unknown: 1, Warning: 2, Error: 3}[s]
}

// Finding is the result of one check. Its texts are in the table of texts.go.
type Finding struct {
	ID    string // such as "redis.eviction"
	Group string // what the check looks at, such as "redis"
	State State
	// What it saw, such as a setting with its value: the same in every language, without secrets.
	// It may come from outside: print it with [Report.Text] or [Report.JSON] only.
	Evidence []string

	why reason // of Unknown
}

// Report is the results of all checks, in a fixed order.
type Report struct {
	Findings []Finding
	Capacity *Capacity // nil unless it was measured
}

// Worst returns the worst state. What is unknown is no fault.
func (r Report) Worst() State {
	worst := OK
	for _, f := range r.Findings {
		if f.State.rank() > worst.rank() && f.State != Unknown {
			worst = f.State
		}
	}
	return worst
}

// ExitCode returns 0 if nothing is wrong, 1 if there are warnings, and 2 if there are errors.
func (r Report) ExitCode() int { return map[State]int{OK: 0, Warning: 1, Error: 2}[r.Worst()] }

// Bounds of what is printed of evidence.
const (
	maxEvidence     = 8   // pieces of a finding
	maxEvidenceText = 300 // characters of a piece
)

// evidence returns the evidence of a finding, bounded and safe for a terminal.
func (f Finding) evidence() []string {
	shown := make([]string, 0, min(len(f.Evidence), maxEvidence+1))
	for i, text := range f.Evidence {
		if i == maxEvidence {
			shown = append(shown, fmt.Sprintf("… +%d", len(f.Evidence)-i))
			break
		}
		shown = append(shown, printable(text))
	}
	return shown
}

// printable returns text with everything escaped that is not a graphic character, and cut off if it
// is long. So nothing in it moves the cursor, colours the screen or turns the direction of writing.
func printable(text string) string {
	var b strings.Builder
	written := 0
	for _, r := range text {
		if written >= maxEvidenceText {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			written++
			continue
		}
		n, _ := fmt.Fprintf(&b, "\\u%04x", r)
		written += n
	}
	return b.String()
}

// Text writes r for people: a line for each check, and below what is wrong the evidence and the
// remedy. Checks of a group that cannot look for the same reason share a line.
func (r Report) Text(w io.Writer, lang Lang) error {
	p := printer{lang: lang}
	group := ""
	counts := map[State]int{}
	for _, f := range r.Findings {
		if f.Group != group {
			p.unknowns()
			if group != "" {
				p.b.WriteByte('\n')
			}
			group = f.Group
			fmt.Fprintf(&p.b, "%s\n", groupNames[group].in(lang))
		}
		counts[f.State]++
		p.finding(f)
	}
	p.unknowns()
	p.capacity(r.Capacity)
	fmt.Fprintf(&p.b, "\n%s: %d, %s: %d, %s: %d, %s: %d\n", stateNames[Error].in(lang), counts[Error], stateNames[Warning].in(lang), counts[Warning],
		stateNames[Unknown].in(lang), counts[Unknown], stateNames[OK].in(lang), counts[OK])
	_, err := io.WriteString(w, p.b.String())
	return err
}

// printer writes findings.
type printer struct {
	lang Lang
	b    strings.Builder
	// Of the group: what is unknown, and the reasons in their order.
	waiting map[reason][]Finding
	reasons []reason
}

func (p *printer) head(state State, text string) {
	fmt.Fprintf(&p.b, "  %-9s %s\n", stateNames[state].in(p.lang), text)
}

func (p *printer) below(text string) { fmt.Fprintf(&p.b, "            %s\n", text) }

func (p *printer) finding(f Finding) {
	t := texts[f.ID]
	switch f.State {
	case OK:
		seen := ""
		if shown := f.evidence(); len(shown) > 0 {
			seen = " (" + shown[0] + ")"
		}
		p.head(OK, t.looks.in(p.lang)+seen)
	case Unknown:
		if p.waiting == nil {
			p.waiting = map[reason][]Finding{}
		}
		if p.waiting[f.why] == nil {
			p.reasons = append(p.reasons, f.why)
		}
		p.waiting[f.why] = append(p.waiting[f.why], f)
	default:
		p.head(f.State, t.looks.in(p.lang)+" ["+f.ID+"]")
		p.below(t.problem.in(p.lang))
		for _, e := range f.evidence() {
			p.below("  " + e)
		}
		p.below("→ " + t.remedy.in(p.lang))
	}
}

// unknowns writes what is unknown in a group, by reason.
func (p *printer) unknowns() {
	for _, why := range p.reasons {
		var looks []string
		for _, f := range p.waiting[why] {
			looks = append(looks, texts[f.ID].looks.in(p.lang))
		}
		p.head(Unknown, strings.Join(looks, "; "))
		p.below(reasons[why].in(p.lang))
		for _, e := range p.waiting[why][0].evidence() {
			p.below("  " + e)
		}
	}
	p.waiting, p.reasons = nil, nil
}

// jsonFinding is a finding as programs read it: fields are added, and never change their meaning.
type jsonFinding struct {
	ID       string   `json:"id"`
	Group    string   `json:"group"`
	State    State    `json:"state"`
	Looks    string   `json:"looks_at"`
	Evidence []string `json:"evidence"`
	Why      string   `json:"why,omitempty"`     // of unknown
	Problem  string   `json:"problem,omitempty"` // of warning and error
	Remedy   string   `json:"remedy,omitempty"`  // likewise
}

// JSON writes r for programs.
func (r Report) JSON(w io.Writer, lang Lang) error {
	all := make([]jsonFinding, len(r.Findings))
	for i, f := range r.Findings {
		t := texts[f.ID]
		all[i] = jsonFinding{ID: f.ID, Group: f.Group, State: f.State, Looks: t.looks.in(lang), Evidence: f.evidence()}
		switch f.State {
		case Unknown:
			all[i].Why = reasons[f.why].in(lang)
		case Warning, Error:
			all[i].Problem, all[i].Remedy = t.problem.in(lang), t.remedy.in(lang)
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	whole := map[string]any{"version": 1, "state": r.Worst(), "findings": all}
	if r.Capacity != nil {
		whole["capacity"] = r.Capacity.json(lang)
	}
	return encoder.Encode(whole)
}
