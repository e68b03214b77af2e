package shell

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
)

// Names are the channels and the users of a command line.
type Names struct {
	Refs  []channel.Ref
	Users []int64 // each once, positive
}

const (
	userPrefix = "user:"
	// tokenLife is how long a token for a user is valid. A subscription that lasts longer makes a
	// new one when it connects again.
	tokenLife = time.Hour
	// maxSubscribed is how many channels an edge accepts in one subscription.
	maxSubscribed = 128
)

// userName matches a user, and nothing that is an id of a channel: those have 32 characters.
var userName = regexp.MustCompile(`^(` + userPrefix + `)?[0-9]{1,19}$`)

// errName says what a name may be. It does not quote the name: ids of channels are secrets.
var errName = errors.New("want a user such as 7 or user:7, an id of 32 lower-case hexadecimal digits, PRIVATE:PUBLIC, or a signed list of such ids")

// ParseNames parses words, each a user, a channel as in CHANNEL_ID, with or without a signature, or
// a whole list with slashes, escaped or not. Errors name the word by its number from 1.
func ParseNames(words []string, grammar channel.Grammar) (n Names, err error) {
	for i, word := range words {
		if strings.Contains(word, "%") {
			if word, err = url.PathUnescape(word); err != nil {
				return Names{}, fmt.Errorf("name %d: %w", i+1, errName)
			}
		}
		for part := range strings.SplitSeq(word, "/") {
			if err := n.add(part, grammar); err != nil {
				return Names{}, fmt.Errorf("name %d: %w", i+1, err)
			}
		}
	}
	if most := proto.MaxReceivers; len(n.Refs)+len(n.Users) > most {
		return Names{}, fmt.Errorf("more than %d channels and users", most)
	}
	return n, nil
}

func (n *Names) add(part string, grammar channel.Grammar) error {
	if userName.MatchString(part) {
		user, err := strconv.ParseInt(strings.TrimPrefix(part, userPrefix), 10, 64)
		if err != nil || user == 0 {
			return errors.New("a user is a number from 1 on; the shared channel of all users has an id of its own")
		}
		if !slices.Contains(n.Users, user) {
			n.Users = append(n.Users, user)
		}
		return nil
	}
	refs, err := grammar.ParseList(part, 1)
	if err != nil {
		return errName
	}
	n.Refs = append(n.Refs, refs...)
	return nil
}

// Channels returns the channels of the names, each once: what a subscriber of all of them gets.
func (n Names) Channels() []channel.ID {
	ids := channel.IDs(n.Refs)
	for _, user := range n.Users {
		ids = append(ids, channel.ForUser(user))
	}
	return ids
}

// query returns the parameters by which a client subscribes: a list, in which the parts without a
// signature get that of the portal, or a token if there is a user.
func (n Names) query(p *portal.Portal, now time.Time) (url.Values, error) {
	q := url.Values{"format": {"json"}}
	if p.ClientID != "" {
		q.Set("clientId", p.ClientID)
	}
	if len(n.Channels()) > maxSubscribed {
		return nil, fmt.Errorf("one subscription has at most %d channels", maxSubscribed)
	}
	if len(n.Users) == 0 {
		parts := make([]string, len(n.Refs))
		for i, ref := range n.Refs {
			if ref.Signature == "" {
				ref = p.Signer.Sign(ref)
			}
			parts[i] = ref.String()
		}
		q.Set("CHANNEL_ID", strings.Join(parts, "/"))
		return q, nil
	}
	if len(n.Users) > 1 {
		return nil, errors.New("a connection is one user's: subscribe to each user by itself, or use pushgate tail")
	}
	if slices.ContainsFunc(n.Refs, func(r channel.Ref) bool { return !r.Public.IsZero() }) {
		return nil, errors.New("a user and PRIVATE:PUBLIC do not go into one subscription: the token of a user has private ids only")
	}
	q.Set("token", p.Signer.SignToken(sign.Token{User: n.Users[0], Channels: channel.IDs(n.Refs), Expires: now.Add(tokenLife)}, p.HostID, now))
	return q, nil
}

// label returns a channel as it is shown: a user by its number, and of an id, which is a secret,
// only the beginning.
func label(id channel.ID) string {
	if user, ok := id.User(); ok {
		return userPrefix + strconv.FormatInt(user, 10)
	}
	if public, ok := id.PublicID(); ok {
		return "public:" + public.LogValue().String()
	}
	return id.LogValue().String()
}
