package sign

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pushgate/internal/channel"
)

// Token is what a client of version 5 sends instead of a list of signed ids: a JWT in which its
// portal says who it is and what it may watch.
type Token struct {
	User     int64        // 0 if the token names no user
	Channels []channel.ID // each once
	Expires  time.Time
	ID       string // its claim jti; empty if it has none
}

// Limits of a token.
const (
	maxToken         = 8 << 10 // bytes
	maxTokenChannels = 100
	lastYear         = 9999 // in which a token may expire; arithmetic on later times overflows
)

// ErrToken is wrapped by every error of [Signer.ParseToken]. No such error quotes the token, which
// is a secret.
var ErrToken = errors.New("wrong token")

// claims of a portal's token. The user is the subject, in decimal.
type claims struct {
	jwt.RegisteredClaims
	Channels string `json:"chan,omitempty"` // unsigned ids with commas between them
}

// ParseToken parses a token. It must be signed by any of the keys with HS256, whatever the
// signer's own algorithm is, and must not have expired at now. Its issuer must be issuer, unless
// that is empty, and it must name a user or at least one channel. Every error wraps [ErrToken].
func (s *Signer) ParseToken(token, issuer string, now time.Time) (Token, error) {
	if len(token) > maxToken {
		return Token{}, fmt.Errorf("%w: %d bytes", ErrToken, len(token))
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Name}),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	}
	if issuer != "" {
		options = append(options, jwt.WithIssuer(issuer))
	}
	var c claims
	if _, err := jwt.ParseWithClaims(token, &c, s.tokenKeys, options...); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, tokenFault(err))
	}
	return c.token()
}

// ErrTokenSignature says that no key of the signer has signed a token.
var ErrTokenSignature = jwt.ErrTokenSignatureInvalid

// tokenFaults are the errors of the library that are safe to pass on: its others quote claims.
var tokenFaults = []error{
	jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid,
	jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenInvalidIssuer,
	jwt.ErrTokenRequiredClaimMissing,
}

func tokenFault(err error) error {
	for _, fault := range tokenFaults {
		if errors.Is(err, fault) {
			return fault
		}
	}
	return jwt.ErrTokenInvalidClaims
}

func (s *Signer) tokenKeys(*jwt.Token) (any, error) {
	var set jwt.VerificationKeySet
	for _, key := range s.keys {
		set.Keys = append(set.Keys, key)
	}
	return set, nil
}

func (c *claims) token() (t Token, err error) {
	if c.Subject != "" {
		user, err := strconv.ParseUint(c.Subject, 10, 63)
		if err != nil {
			return Token{}, fmt.Errorf("%w: the subject is not a user id", ErrToken)
		}
		t.User = int64(user)
	}
	if c.Channels != "" {
		if strings.Count(c.Channels, ",") >= maxTokenChannels {
			return Token{}, fmt.Errorf("%w: %w", ErrToken, channel.ErrTooMany)
		}
		var refs []channel.Ref
		for text := range strings.SplitSeq(c.Channels, ",") {
			id, err := channel.Parse(text)
			if err != nil {
				return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
			}
			refs = append(refs, channel.Ref{Private: id})
		}
		t.Channels = channel.IDs(refs)
	}
	if t.User == 0 && t.Channels == nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, channel.ErrNoID)
	}
	t.Expires, t.ID = c.ExpiresAt.Time, c.ID
	if t.Expires.Year() > lastYear {
		return Token{}, fmt.Errorf("%w: it expires too late", ErrToken)
	}
	return t, nil
}

// SignToken returns the JWT of t as a portal makes it, with the first key. Only tools and tests
// use it: portals make their own tokens.
func (s *Signer) SignToken(t Token, issuer string, issued time.Time) string {
	c := claims{RegisteredClaims: jwt.RegisteredClaims{
		ID: t.ID, Issuer: issuer, IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(t.Expires)}}
	if t.User != 0 {
		c.Subject = strconv.FormatInt(t.User, 10)
	}
	ids := make([]string, len(t.Channels))
	for i, id := range t.Channels {
		ids[i] = id.String()
	}
	c.Channels = strings.Join(ids, ",")
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.keys[0])
	if err != nil {
		panic(err) // strings and times always encode, and a key of bytes always signs
	}
	return text
}

// Claimed returns what a token says of its owner, whoever has signed it: for people who look for
// the reason of a refusal, and for nothing else.
func Claimed(token string) (user int64, channels []channel.ID) {
	if len(token) > maxToken {
		return 0, nil
	}
	var c claims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return 0, nil
	}
	if c.ExpiresAt == nil {
		c.ExpiresAt = jwt.NewNumericDate(time.Time{})
	}
	t, err := c.token()
	if err != nil {
		return 0, nil
	}
	return t.User, t.Channels
}

// ClaimedUntil returns when a token expires by its own word; zero if it does not say.
func ClaimedUntil(token string) time.Time {
	var c claims
	if len(token) > maxToken {
		return time.Time{}
	}
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil || c.ExpiresAt == nil {
		return time.Time{}
	}
	return c.ExpiresAt.Time
}

// TokenKey returns which key has signed a token, 1 for the first one; 0 if none has.
func (s *Signer) TokenKey(token string) int {
	if len(token) > maxToken {
		return 0
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Name}), jwt.WithoutClaimsValidation())
	for i, key := range s.keys {
		if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
			return i + 1
		}
	}
	return 0
}
