package revoke

import (
	"errors"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

// Target is what somebody asks to put out. Exactly one field is set.
type Target struct {
	User    int64
	TokenID string // the claim jti of a token
	Token   string // a token itself
	Channel string // a CHANNEL_ID: a private id, or a list of them as a client has it
}

// Limits of a target.
const (
	MaxTokenID = 1024 // bytes of the id of a token
	maxParts   = 128  // of a CHANNEL_ID
)

// The errors of [Target.Entries]. They do not quote the target, which may be a secret.
var (
	ErrTarget    = errors.New("name one of a user, a token, the id of a token and a channel")
	ErrToken     = errors.New("the token is not valid for this portal, or has expired")
	ErrMalformed = errors.New("the channel is not a whole private id or a list of them; what a log shows of an id is shortened, and cannot be found again")
	ErrUnsigned  = errors.New("the list is not signed by a key of this portal: it is another portal's, or the key was changed; to put out its ids all the same, leave out the signatures")
	ErrShared    = errors.New("the list has several ids, none of them with a public id, so that it does not say which is the client's own: name that one alone")
)

// Entries returns what the target of a portal is: one entry, or several for a list. What is signed
// must be signed by a key of the portal, or a mistake would look like a success. Of a list of
// several ids, those count that have a public id: the others may be of all users of the portal.
func (t Target) Entries(signer *sign.Signer, host string, grammar channel.Grammar, now time.Time) ([]Entry, error) {
	switch {
	case t.User > 0 && t.TokenID+t.Token+t.Channel == "":
		return []Entry{User(t.User)}, nil
	case t.User != 0:
		return nil, ErrTarget
	case t.TokenID != "" && t.Token+t.Channel == "" && len(t.TokenID) <= MaxTokenID:
		return []Entry{Token(TokenID(t.TokenID))}, nil
	case t.Token != "" && t.TokenID+t.Channel == "":
		token, err := signer.ParseToken(t.Token, host, now)
		if err != nil {
			return nil, ErrToken
		}
		return []Entry{Token(TokenOf(token.ID, t.Token))}, nil
	case t.Channel != "" && t.TokenID+t.Token == "":
		return t.list(signer, grammar)
	default:
		return nil, ErrTarget
	}
}

func (t Target) list(signer *sign.Signer, grammar channel.Grammar) (entries []Entry, err error) {
	refs, err := grammar.ParseList(t.Channel, maxParts)
	if err != nil {
		return nil, ErrMalformed
	}
	for _, ref := range refs {
		if ref.Signature != "" && !signer.Verify(ref) {
			return nil, ErrUnsigned
		}
		if len(refs) == 1 || !ref.Public.IsZero() {
			entries = append(entries, Channel(ref.Private))
		}
	}
	if entries == nil {
		return nil, ErrShared
	}
	return entries, nil
}
