package portal

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"net/url"
)

// RegistrationError is why a portal does not get its key. Its text is a code that portals know
// (docs/protocol.md, Many portals).
type RegistrationError string

// Error returns the code.
func (e RegistrationError) Error() string { return string(e) }

// The errors of [Table.Register].
const (
	ErrWrongRequest    RegistrationError = "WRONG_REQUEST"
	ErrWrongSign       RegistrationError = "WRONG_SIGN"
	ErrLicenceNotFound RegistrationError = "LICENSE_NOT_FOUND"
)

// Register returns the key of the portal that sent a verification query, which proves that the
// sender knows the licence key. The error is a [RegistrationError].
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

// licenceHash returns the hash that proves knowledge of the licence key. Portals demand MD5.
func licenceHash(public, kind, licence string) string {
	return hexMD5(hexMD5(public+"|"+kind) + licence)
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
