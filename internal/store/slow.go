package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Slow is a command that took a server long. Of its arguments, only what names nobody is kept.
type Slow struct {
	Node    string `json:"node"` // address
	At      int64  `json:"at"`   // unix ms, by the clock of the server
	Took    int64  `json:"took_us"`
	Command string `json:"command"` // of a script, its name
	Portal  string `json:"portal,omitempty"`
	Words   int    `json:"words"` // of the command, as far as the server keeps them
}

// Slow returns the newest entries of the slow logs of all servers, the newest first. It needs the
// permission for SLOWLOG GET.
func (s *Store) Slow(ctx context.Context) ([]Slow, error) {
	masters, err := s.masters(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the slow log: %w", err)
	}
	all := []Slow{}
	for _, master := range masters {
		entries, err := master.SlowLogGet(ctx, mostSlow).Result()
		if err != nil {
			return nil, fmt.Errorf("read the slow log: %w", err)
		}
		for _, e := range entries {
			all = append(all, slowEntry(master.Options().Addr, e))
		}
	}
	slices.SortStableFunc(all, func(a, b Slow) int { return cmp.Compare(b.At, a.At) })
	return all, nil
}

func slowEntry(node string, e redis.SlowLog) Slow {
	slow := Slow{Node: node, At: e.Time.UnixMilli(), Took: e.Duration.Microseconds(), Words: len(e.Args), Command: "?"}
	if len(e.Args) == 0 {
		return slow
	}
	slow.Command = commandName(e.Args[0])
	key := 1
	if slow.Command == "evalsha" || slow.Command == "eval" {
		key = 3
		if len(e.Args) > 1 {
			slow.Command = cmp.Or(scriptName(e.Args[1]), slow.Command)
		}
	}
	if len(e.Args) > key {
		if kind, portal, _ := parseKey(e.Args[key]); kind != keyProcess {
			slow.Portal = portal
		}
	}
	return slow
}

// commandName returns a word of a server as the name of a command; "?" if it cannot be one.
func commandName(word string) string {
	if len(word) > 20 || strings.Trim(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz.") != "" {
		return "?"
	}
	return strings.ToLower(word)
}

// scriptName returns the name of one of our scripts by its hash or source; "" if it is another one.
func scriptName(word string) string {
	for name, s := range namedScripts {
		// The slow log cuts long words, and says how much.
		begin, _, _ := strings.Cut(word, "... (")
		if word == s.hash || len(begin) > 40 && strings.HasPrefix(s.source, begin) {
			return "script " + name
		}
	}
	return ""
}

// namedScripts are the scripts that may be slow.
var namedScripts = map[string]script{"append": appendScript, "append (cluster)": shardedScript, "head": headScript, "history": historyScript, "presence": presenceScript,
	"online": onlineScript, "seen": seenScript, "putprocess": putProcessScript, "processes": processesScript, "confirm": confirmScript,
	"audit": auditScript, "audits": auditsScript, "ask": askScript, "ask (cluster)": shardedAskScript, "putanswer": putAnswerScript,
	"takeanswers": takeAnswersScript, "lease": leaseScript, "putsample": putSampleScript, "sampled": sampledScript}
