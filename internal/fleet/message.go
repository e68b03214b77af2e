package fleet

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// message is a question as it is published.
type message struct {
	Place  string          `json:"place"` // where the answers go
	Name   string          `json:"name"`
	Caller string          `json:"caller,omitempty"`
	To     []string        `json:"to,omitempty"` // ids of processes; none is all
	Wait   int64           `json:"wait_ms"`      // how long whoever asks waits
	Body   json.RawMessage `json:"body,omitempty"`
}

var errMessage = errors.New("not a question")

// parseMessage decodes what was published, which may be anything.
func parseMessage(text string) (message, error) {
	if len(text) > MaxQuestion {
		return message{}, errTooLong
	}
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return message{}, errMessage
	}
	if !isPlace(m.Place) || m.Name == "" || len(m.Name) > maxName || m.Wait <= 0 || m.Wait > MaxWait.Milliseconds() {
		return message{}, errMessage
	}
	return m, nil
}

// isPlace reports whether a text is what [rand.Text] returns: it becomes part of a key.
func isPlace(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(text) == 26
}

func (m message) isFor(process string) bool {
	return len(m.To) == 0 || slices.Contains(m.To, process)
}

func (m message) question() Question { return Question{Name: m.Name, Caller: m.Caller, Body: m.Body} }

// patience is how long a handler may take, so that its answer arrives in time.
func (m message) patience() time.Duration {
	return time.Duration(m.Wait) * time.Millisecond * 9 / 10
}
