package rpc

import (
	"encoding/json"
	"time"
)

// Revoke holds the params of revokeAccess and restoreAccess, of which the caller must check that
// exactly one of User, TokenID, Token and Channel is set.
type Revoke struct {
	User    int64     // 0 if it is absent
	TokenID string    // the claim jti of a token
	Token   string    // a token itself
	Channel string    // a CHANNEL_ID
	Until   time.Time // zero if it is 0 or absent
}

// maxUntil is the latest time that is taken for unix seconds: later ones are milliseconds.
const maxUntil = 1e11

// ParseRevoke parses the params of revokeAccess and restoreAccess.
func ParseRevoke(params json.RawMessage) (r Revoke, fault *Error) {
	o, fault := object(params)
	if fault != nil {
		return r, fault
	}
	if value := o.Get("userId"); value != nil {
		var ok bool
		if r.User, ok = userID(value); !ok || r.User == 0 {
			return Revoke{}, ErrInvalidParams.With("userId is not a user id")
		}
	}
	for name, field := range map[string]*string{"tokenId": &r.TokenID, "token": &r.Token, "channelId": &r.Channel} {
		if value := o.Get(name); value != nil && (json.Unmarshal(value, field) != nil || *field == "") {
			return Revoke{}, ErrInvalidParams.With(name + " is not a string, or empty")
		}
	}
	if value := o.Get("until"); value != nil && string(value) != "null" {
		seconds, ok := number(value)
		if !ok || seconds < 0 || seconds > maxUntil {
			return Revoke{}, ErrInvalidParams.With("until is not a unix time in seconds")
		}
		if seconds > 0 {
			r.Until = time.Unix(int64(seconds), 0)
		}
	}
	return r, nil
}
