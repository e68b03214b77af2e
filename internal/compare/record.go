package compare

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"strings"
	"time"
)

// record is a message as a server sent it.
type record struct {
	body   []byte // the published text, byte for byte
	sum    uint64
	mid    string
	at     time.Time // when it arrived
	passed bool      // a later record of this side has been matched
}

var (
	recordBegin = []byte("#!NGINXNMS!#")
	recordEnd   = []byte("#!NGINXNME!#")
	bodyBegin   = []byte(`"text":`) // the last member of a record; those before it cannot hold this
	seed        = maphash.MakeSeed()
)

// parse takes a frame or an answer of the text form apart. What is no record is skipped, as by the
// known clients. The records do not share memory with payload.
func parse(payload []byte, now time.Time) (records []record) {
	for {
		_, rest, found := bytes.Cut(payload, recordBegin)
		if !found {
			return records
		}
		text, rest, found := bytes.Cut(rest, recordEnd)
		if !found {
			return records
		}
		payload = rest
		head, body, found := bytes.Cut(text, bodyBegin)
		if !found {
			continue
		}
		body = bytes.Clone(bytes.TrimSuffix(body, []byte("}")))
		r := record{body: body, sum: maphash.Bytes(seed, body), at: now}
		var members struct{ MID string }
		if json.Unmarshal(append(bytes.TrimSuffix(bytes.Clone(head), []byte(",")), '}'), &members) == nil && fitMID(members.MID) {
			r.mid = members.MID
		}
		records = append(records, r)
	}
}

// maxMID bounds the id of a message, in bytes. Those of the known servers have 26 digits.
const maxMID = 64

// fitMID reports whether an id of a message can be kept and shown: it is a server's, and both
// memory and terminal are not.
func fitMID(mid string) bool {
	return len(mid) <= maxMID && !strings.ContainsFunc(mid, func(r rune) bool { return r <= ' ' || r > '~' })
}

// equal reports whether two records have the same body.
func (r *record) equal(other *record) bool {
	return r.sum == other.sum && bytes.Equal(r.body, other.body)
}

// kind returns the module and command of a message, cut short: what may be shown of it.
func (r *record) kind() (module, command string) {
	var m struct {
		Module  string `json:"module_id"`
		Command string
	}
	if json.Unmarshal(r.body, &m) != nil {
		return "", ""
	}
	return m.Module[:min(len(m.Module), 32)], m.Command[:min(len(m.Command), 64)]
}

// isGap reports whether a record is pushgate's own note that messages are missing.
func (r *record) isGap() bool {
	if !bytes.Contains(r.body, []byte("pushgate")) {
		return false
	}
	module, command := r.kind()
	return module == "pushgate" && command == "gap"
}

// common returns how many bytes at the beginning and at the end of two bodies are the same.
func (r *record) common(other *record) (first, last int) {
	a, b := r.body, other.body
	most := min(len(a), len(b))
	for first < most && a[first] == b[first] {
		first++
	}
	for last < most-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	return first, last
}
