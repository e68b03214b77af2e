package rpc

import (
	"encoding/json"
	"time"
)

// Revoke holds the params of revokeAccess and restoreAccess: exactly one of User, TokenID, Token
// and Channel is set.
type Revoke struct {
	User    int64
	TokenID string // the claim jti of a token
	Token   string
	Channel string    // one channel, signed or not
	Until   time.Time // zero if it is 0 or absent
}

// maxTokenID is the longest id of a token, in bytes.
const maxTokenID = 1024

// ParseRevoke parses the params of revokeAccess and restoreAccess.
func ParseRevoke(params json.RawMessage) (r Revoke, fault *Error) {
	o, fault := object(params)
	if fault != nil {
		return r, fault
	}
	named := 0
	if value := o.Get("userId"); value != nil {
		var ok bool
		if r.User, ok = userID(value); !ok || r.User == 0 {
			return Revoke{}, ErrInvalidParams.With("userId is not a user id")
		}
		named++
	}
	for name, field := range map[string]*string{"tokenId": &r.TokenID, "token": &r.Token, "channelId": &r.Channel} {
		if value := o.Get(name); value != nil {
			if json.Unmarshal(value, field) != nil || *field == "" {
				return Revoke{}, ErrInvalidParams.With(name + " is not a string, or empty")
			}
			named++
		}
	}
	if named != 1 || len(r.TokenID) > maxTokenID {
		return Revoke{}, ErrInvalidParams.With("params must name one of userId, tokenId, token and channelId")
	}
	if value := o.Get("until"); value != nil && string(value) != "null" {
		seconds, ok := number(value)
		if !ok || seconds < 0 || seconds > 1e11 {
			return Revoke{}, ErrInvalidParams.With("until is not a unix time in seconds")
		}
		if seconds > 0 {
			r.Until = time.Unix(int64(seconds), 0)
		}
	}
	return r, nil
}
