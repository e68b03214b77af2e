package proto

import "time"

// Act is an entry of the audit log: what somebody did by the admin port of a process. It holds no
// secret and no channel id.
type Act struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`     // name of the token
	From    string    `json:"from"`    // address
	Process string    `json:"process"` // its id: to which it was done, or at whose admin port
	What    string    `json:"what"`
	Whom    string    `json:"whom,omitempty"` // or to what
	Result  string    `json:"result"`         // "done", or "failed" and the status of the answer
}
