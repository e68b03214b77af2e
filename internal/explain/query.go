package explain

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Kind is what a question is about.
type Kind string

// The kinds.
const (
	KindMessage Kind = "message"
	KindChannel Kind = "channel"
	KindUser    Kind = "user"
	KindList    Kind = "list"
	KindToken   Kind = "token"
)

// Query is a question that has been read.
type Query struct {
	Kind     Kind
	ID       proto.ID     // of a message
	User     int64        // of version 5
	Channels []channel.ID // of a channel, its private and its public form; of a user
	Refs     []channel.Ref
	Token    string
	Short    []string // beginnings of the ids of a list that is shortened, as logs have it
}

// ErrQuery is the error of [ParseQuery] for what is none of these.
var ErrQuery = errors.New("give the id of a message (26 digits), a channel (32 characters), a user (user:NUMBER), a signed list, or a token")

// mostQuery is the longest question, in bytes.
const mostQuery = 16 << 10

// mostListed is how many channels of a list are looked at.
const mostListed = 64

// ParseQuery reads a question: the id of a message, a channel, user:NUMBER or a number for a user
// of version 5, a CHANNEL_ID or a token, or a line or an address in which one of the two is. A
// part of a list that is shortened, as in logs, is only counted.
func ParseQuery(text string) (q Query, err error) {
	text = strings.TrimSpace(text)
	if len(text) > mostQuery {
		return q, ErrQuery
	}
	if id, err := proto.ParseID(text); err == nil {
		return Query{Kind: KindMessage, ID: id}, nil
	}
	if user, err := strconv.ParseInt(strings.TrimPrefix(text, "user:"), 10, 64); err == nil && user > 0 {
		return Query{Kind: KindUser, User: user, Channels: []channel.ID{channel.ForUser(user)}}, nil
	}
	text = within(text)
	public, isPublic := strings.CutPrefix(text, "public:")
	if id, err := channel.Parse(public); err == nil {
		q = Query{Kind: KindChannel}
		if !isPublic {
			q.Channels = append(q.Channels, id)
		}
		if twin := channel.ForPublic(id); !twin.IsZero() {
			q.Channels = append(q.Channels, twin)
		}
		return q, nil
	}
	if strings.Count(text, ".") == 2 && strings.HasPrefix(text, "ey") {
		return Query{Kind: KindToken, Token: text}, nil
	}
	return parseList(text)
}

// within returns the list or the token in an address or in a line of a log.
func within(text string) string {
	for _, name := range []string{"CHANNEL_ID=", "token="} {
		if _, after, ok := strings.Cut(text, name); ok {
			if i := strings.IndexAny(after, "& \t\"'"); i >= 0 {
				after = after[:i]
			}
			if plain, err := url.QueryUnescape(after); err == nil {
				return plain
			}
			return after
		}
	}
	return text
}

func parseList(text string) (q Query, err error) {
	q.Kind = KindList
	for part := range strings.SplitSeq(text, "/") {
		if strings.Contains(part, "…") || strings.Contains(part, "...") {
			q.Short = append(q.Short, channel.Quote(part))
			continue
		}
		refs, err := channel.Hex.ParseList(part, 1)
		if err != nil {
			refs, err = channel.Alphanumeric.ParseList(part, 1)
		}
		if err != nil || len(q.Refs)+len(q.Short) >= mostListed {
			return Query{}, ErrQuery
		}
		q.Refs = append(q.Refs, refs...)
	}
	return q, nil
}

// String returns q without what opens anything: signatures are left out.
func (q Query) String() string {
	switch q.Kind {
	case KindMessage:
		return q.ID.String()
	case KindUser:
		return "user:" + strconv.FormatInt(q.User, 10)
	case KindChannel:
		return name(q.Channels[0])
	case KindToken:
		return "token"
	default:
		parts := make([]string, 0, len(q.Refs)+len(q.Short))
		for _, ref := range q.Refs {
			parts = append(parts, channel.Quote(string(ref.Signed())))
		}
		return strings.Join(append(parts, q.Short...), "/")
	}
}
