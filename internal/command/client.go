package command

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pushgate/internal/proto"
)

// clientBody returns the body of a client's message in a form that no reader can take for the
// portal's.
//
// Readers do not enforce that boundary themselves: some run the commands of the module pull from
// any sender, and all obey what a message has in extra. So the body must be an object with a module
// and a command, the module must not be pull, and extra has the server's data on the sender and the
// time. The body is encoded again, so that every parser finds what was checked: no member is left
// twice.
func clientBody(body []byte, sender proto.Sender, now time.Time) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.ToValidUTF8(body, []byte("\uFFFD")), &members); err != nil {
		return nil, proto.ErrRequestData
	}
	module, ok := text(members["module_id"])
	if _, commands := text(members["command"]); !ok || !commands {
		return nil, proto.ErrRequestData
	}
	if plain(module) == "pull" {
		return nil, proto.ErrSystemMessage
	}
	members["extra"] = clientExtra(sender, now)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // or a body could grow to six times its size
	if err := e.Encode(members); err != nil {
		return nil, proto.ErrRequestData
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// clientExtra has the form of the portal's extra, without the revisions: readers act on those.
func clientExtra(sender proto.Sender, now time.Time) json.RawMessage {
	b := append([]byte(nil), `{"sender":{"type":1,"id":"`...)
	b = append(b, sender.Name()...)
	b = append(b, `"},"server_time_unix":`...)
	b = strconv.AppendFloat(b, float64(now.UnixMicro())/1e6, 'f', 6, 64)
	return append(b, '}')
}

// text returns the value of a JSON string. It returns false for anything else and for an empty one.
func text(value json.RawMessage) (s string, ok bool) {
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return "", false
	}
	return s, s != ""
}

// plain returns what a careless reader might take a name for: only its letters and digits, in lower
// case, with full-width forms as the ordinary ones.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			r -= '！' - '!'
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}
