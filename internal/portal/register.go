package portal

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"net/url"
)

// RegistrationError is why a portal is not given its key, in the words that portals know (docs/protocol.md, Many portals).
type RegistrationError string

// Error returns the word.
func (e RegistrationError) Error() string { return string(e) }

// The reasons.
const (
	ErrWrongRequest    RegistrationError = "WRONG_REQUEST"
	ErrWrongSign       RegistrationError = "WRONG_SIGN"
	ErrLicenceNotFound RegistrationError = "LICENSE_NOT_FOUND"
)

// Register returns the key of the portal that proves by a verification query that it knows its licence key. The error is a
// [RegistrationError].
func (t *Table) Register(query string) (key string, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", ErrWrongRequest
	}
	licence, kind, hash := values.Get("BX_LICENCE"), values.Get("BX_TYPE"), values.Get("BX_HASH")
	if licence == "" || kind == "" || hash == "" {
		return "", ErrWrongRequest
	}
	p := t.clients[licence]
	if p == nil || p.Licence == "" {
		return "", ErrLicenceNotFound
	}
	if subtle.ConstantTimeCompare([]byte(hash), []byte(licenceHash(licence, kind, p.Licence))) != 1 {
		return "", ErrWrongSign
	}
	return string(p.Key), nil
}

// licenceHash is what only who knows the licence key can tell. That it is MD5 is the portals' choice.
func licenceHash(public, kind, licence string) string {
	return hexMD5(hexMD5(public+"|"+kind) + licence)
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
