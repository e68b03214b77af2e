package explain

import (
	"cmp"
	"slices"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// Report is an answer. Times are unix milliseconds; 0 is not known, or not yet.
type Report struct {
	Query    string    `json:"query"` // without secrets
	Kind     Kind      `json:"kind"`
	Portal   string    `json:"portal"` // "" if many were asked about
	Now      int64     `json:"now"`
	Message  *Message  `json:"message,omitempty"`
	Parts    []Part    `json:"parts,omitempty"`    // of a list, or the token
	Channels []Channel `json:"channels,omitempty"` // that were asked about
	// For each receiver of a message, at most 64, what became of it; a channel is empty if the
	// receivers are not known.
	Verdicts []Verdict `json:"verdicts,omitempty"`
	Sessions []Session `json:"sessions"`
	Refused  []Refused `json:"refused"`
	Unknown  []Unsure  `json:"unknown"`

	listed []channel.ID
}

// Message is what is known of a message itself.
type Message struct {
	ID        proto.ID   `json:"id"`
	State     string     `json:"state"`
	Type      string     `json:"type"`
	Sender    string     `json:"sender"` // portal or client; "" if it is not known
	Created   int64      `json:"created"`
	Expires   int64      `json:"expires"`
	Life      int64      `json:"life_ms"`
	Rule      string     `json:"rule"`    // that bounds the lives of this type
	RuleLife  int64      `json:"rule_ms"` // what it allows; the sender asked for less
	Bytes     int        `json:"bytes"`
	Receivers int        `json:"receivers"` // their number
	Lists     []List     `json:"lists"`
	Accepted  []Accepted `json:"accepted"`
	Heard     []Heard    `json:"heard"`
}

// List is the list of a receiver in the log.
type List struct {
	Channel string `json:"channel"`
	Listed  bool   `json:"listed"`
	Trimmed bool   `json:"trimmed"` // the cap of the channel has dropped it
}

// Accepted is the post of a message at a process.
type Accepted struct {
	Process string        `json:"process"`
	At      int64         `json:"at"`   // when the log had answered
	Took    float64       `json:"took"` // milliseconds from the post until then
	Outcome trail.Outcome `json:"outcome"`
	ID      proto.ID      `json:"id"`
	Type    string        `json:"type"`
}

func accepted(process string, p trail.Post) Accepted {
	return Accepted{Process: process, At: p.At / 1000, Took: float64(p.At-p.Created) / 1000, Outcome: p.Outcome, ID: p.ID, Type: p.Type}
}

// Heard is when an edge was notified of a message.
type Heard struct {
	Process string `json:"process"`
	From    int64  `json:"from"` // 0: it was not, or does not remember
	To      int64  `json:"to"`
	Known   bool   `json:"known"` // it remembers what it was notified of then
}

// Session is what became of a message at a session, or how a session is.
type Session struct {
	Process   string `json:"process"`
	Number    uint64 `json:"number"` // in its process
	Portal    string `json:"portal"`
	Channel   string `json:"channel"` // that was asked about
	Transport string `json:"transport"`
	Began     int64  `json:"began"`
	Ended     int64  `json:"ended"`
	Reason    string `json:"reason"` // of the end
	Polls     int    `json:"polls"`  // that were merged

	From     proto.ID     `json:"from"` // what is due comes after it
	Sent     proto.ID     `json:"sent"`
	Through  proto.ID     `json:"acknowledged_through"`
	AckedAt  int64        `json:"acknowledged_at"` // when the client acknowledged that id
	Stale    bool         `json:"stale"`
	Why      Why          `json:"why,omitempty"` // of a message
	Text     [2]string    `json:"text"`          // in English and Russian
	Written  []trail.Span `json:"written"`       // each at a time between two, unix microseconds
	Acked    bool         `json:"acknowledged"`  // the message
	Marks    []trail.Mark `json:"marks"`
	Previous bool         `json:"before"` // it ended before the message
}

// Verdict is what became of a message for one receiver.
type Verdict struct {
	Channel string     `json:"channel"`
	Mark    trail.Mark `json:"mark"`
	Why     Why        `json:"why"`
	Text    [2]string  `json:"text"`
}

// Refused is a subscription that was refused.
type Refused struct {
	Process string    `json:"process"`
	At      int64     `json:"at"`
	Portal  string    `json:"portal"`
	Why     Why       `json:"why"`
	Text    [2]string `json:"text"`
	marks   []trail.Mark
}

// Unsure is something that is not known.
type Unsure struct {
	Process string    `json:"process"` // "" if it is none
	What    Missing   `json:"what"`
	Since   int64     `json:"since"` // it is known; or when the process ended
	Text    [2]string `json:"text"`
}

func (r *Report) miss(process string, what Missing, since int64) {
	u := Unsure{Process: process, What: what, Since: since, Text: missingTexts[what]}
	if !slices.ContainsFunc(r.Unknown, func(o Unsure) bool { return o.Process == process && o.What == what }) {
		r.Unknown = append(r.Unknown, u)
	}
}

// reach notes if a memory that begins at since does not reach back to a time, both in unix
// microseconds.
func (r *Report) reach(process string, _ local, what Missing, since, to int64) {
	if since > to {
		r.miss(process, what, since/1000)
	}
}

// finish sorts what came in no order.
func (r *Report) finish() {
	if r.Message != nil {
		slices.SortFunc(r.Message.Accepted, func(a, b Accepted) int { return cmp.Compare(a.At, b.At) })
		slices.SortFunc(r.Message.Heard, func(a, b Heard) int { return cmp.Compare(a.Process, b.Process) })
	}
	slices.SortFunc(r.Sessions, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(a.Process, b.Process), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(r.Refused, func(a, b Refused) int { return cmp.Compare(a.At, b.At) })
	slices.SortFunc(r.Unknown, func(a, b Unsure) int { return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.What, b.What)) })
	for i := range r.Verdicts {
		r.Verdicts[i].Text = Texts[r.Verdicts[i].Why]
	}
}

// name returns a channel as reports have it.
func name(id channel.ID) string {
	if public, ok := id.PublicID(); ok {
		return "public:" + public.String()
	}
	return id.String()
}
