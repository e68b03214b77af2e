package explain

import (
	"cmp"
	"context"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/trail"
)

// Part is what is known of a part of a signed list, or of a token.
type Part struct {
	Channel string `json:"channel"` // shortened; the user of a token
	Signed  bool   `json:"signed"`  // by a key of the portal, in the way that it is accepted
	// How it was signed, if that is known: the number of the key, from 1 on, its algorithm, and how
	// the key was decoded before, by mistake.
	Key       int    `json:"key"`
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"encoding"`
	Shortened bool   `json:"shortened"` // it cannot be checked
	Until     int64  `json:"until"`     // a token is valid until then; a list has no end
}

// Channel is what the log holds of a channel.
type Channel struct {
	Channel string     `json:"channel"`
	Mark    trail.Mark `json:"mark"`
	Length  int        `json:"length"` // of its list in the log, expired messages included
	Newest  []proto.ID `json:"newest"`
	Posts   []Accepted `json:"posts"` // the newest that processes remember
	// Why nobody is there; written if somebody is.
	Why  Why       `json:"why"`
	Text [2]string `json:"text"`
}

// betweenPolls is how long a client on long polls may take to its next one, in milliseconds.
const betweenPolls = 60_000

// mostNewest is how many messages of a channel a report has.
const mostNewest = 20

// list notes which key has signed a list or a token.
func (w *work) list(p *portal.Portal, q Query) {
	r := w.report
	if q.Kind == KindToken {
		part := Part{Algorithm: "sha256"}
		token, err := p.Signer.ParseToken(q.Token, p.HostID, time.Now())
		part.Signed = err == nil
		if err != nil {
			token.User, token.Channels = sign.Claimed(q.Token)
			token.Expires = sign.ClaimedUntil(q.Token)
		}
		if !token.Expires.IsZero() {
			part.Until = token.Expires.UnixMilli()
		}
		part.Key = p.Signer.TokenKey(q.Token)
		r.listed = token.Channels
		if id := channel.ForUser(token.User); !id.IsZero() {
			part.Channel = Query{Kind: KindUser, User: token.User}.String()
			r.listed = append(r.listed, id)
		}
		r.Parts = append(r.Parts, part)
		return
	}
	for _, ref := range q.Refs {
		part := Part{Channel: channel.Quote(string(ref.Signed())), Signed: p.Signer.Verify(ref)}
		if match, ok := p.Signer.MatchRef(ref); ok {
			part.Key, part.Algorithm, part.Encoding = match.Key, match.Algorithm, match.Encoding
		}
		r.Parts = append(r.Parts, part)
	}
	for _, short := range q.Short {
		r.Parts = append(r.Parts, Part{Channel: short, Shortened: true})
	}
	r.listed = channel.IDs(q.Refs)
}

// channels notes who watches some channels, and what was posted to them.
func (w *work) channels(ctx context.Context, ids []channel.ID) error {
	if len(ids) == 0 {
		return nil
	}
	r := w.report
	marks := trail.MarksOf(ids)
	q := question{Marks: marks}
	names := make(map[trail.Mark]string, len(ids))
	for i, id := range ids {
		q.Channels = append(q.Channels, id.String())
		names[marks[i]] = name(id)
	}
	hour := time.Now().Add(-time.Hour).UnixMicro()
	all, err := w.answers(ctx, q, hour)
	if err != nil {
		return err
	}
	posts := make(map[trail.Mark][]Accepted)
	for process, a := range all {
		for _, p := range a.Posts {
			for _, m := range p.Marks {
				if r.Portal == "" || p.Portal == r.Portal {
					posts[m] = append(posts[m], accepted(process, p))
				}
			}
		}
		r.reach(process, a, MissPosts, a.PostsFrom, hour)
		if !a.Edge {
			continue
		}
		if r.reach(process, a, MissSessions, a.Reach.Ended, hour); a.Many {
			r.miss(process, MissMany, 0)
		}
		r.refuse(process, a.Refused)
		for _, p := range a.Sessions {
			r.Sessions = append(r.Sessions, session(process, p, names, marks))
		}
	}
	for i, id := range ids {
		c := Channel{Channel: name(id), Mark: marks[i], Posts: posts[marks[i]]}
		slices.SortFunc(c.Posts, func(a, b Accepted) int { return cmp.Compare(a.At, b.At) })
		c.Posts = c.Posts[max(0, len(c.Posts)-mostNewest):]
		if r.Portal != "" {
			if c.Newest, c.Length, err = w.Logs(r.Portal).Newest(ctx, id, mostNewest); err != nil {
				r.miss("", MissLog, 0)
			}
		}
		c.Why = r.watched(marks[i])
		c.Text = Texts[c.Why]
		r.Channels = append(r.Channels, c)
	}
	return ctx.Err()
}

// watched says why nobody watches a channel; Written if somebody does.
func (r *Report) watched(m trail.Mark) Why {
	elsewhere := false
	for _, s := range r.Sessions {
		between := s.Polls > 0 && r.Now-s.Ended < betweenPolls
		if s.Ended != 0 && !between || !slices.Contains(s.Marks, m) {
			continue
		}
		if r.Portal == "" || s.Portal == r.Portal {
			return Written
		}
		elsewhere = true
	}
	if slices.ContainsFunc(r.Unknown, func(u Unsure) bool { return u.What == MissSilent || u.What == MissOthers || u.What == MissMany }) {
		return Unknown
	}
	for _, refused := range slices.Backward(r.Refused) {
		if (r.Portal == "" || refused.Portal == r.Portal) && slices.Contains(refused.marks, m) {
			return refused.Why
		}
	}
	for _, s := range slices.Backward(r.Sessions) {
		if s.Reason == reasonEvicted && slices.Contains(s.Marks, m) {
			return Evicted
		}
	}
	if elsewhere {
		return OtherPortal
	}
	return NotConnected
}
