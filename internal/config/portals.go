package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"pushgate/internal/portal"
	"pushgate/internal/sign"
)

// maxPortalsFile is the largest file of PUSHGATE_PORTALS, in bytes.
const maxPortalsFile = 64 << 20

// portalsFile is the content of the file of PUSHGATE_PORTALS.
type portalsFile struct {
	Portals []portalEntry `json:"portals"`
}

type portalEntry struct {
	ClientID string   `json:"client_id"`
	Keys     []string `json:"keys"`
	HostID   string   `json:"host_id"`
	Licence  string   `json:"licence"`
	Limits   struct {
		Payload     *int64 `json:"payload"`
		Messages    *int   `json:"messages"`
		Channels    *int   `json:"channels"`
		Connections *int   `json:"connections"`
		Posts       *int   `json:"posts"`
		Rate        *int   `json:"rate"`
	} `json:"limits"`
}

// Portals returns the portals to serve. With PUSHGATE_PORTALS it reads the file, at every call;
// otherwise it returns the one portal of PUSHGATE_KEYS. The error has a line for each problem of
// the file, and none of its secrets.
func (c *Common) Portals() (*portal.Table, error) {
	if c.PortalsFile == "" {
		return portal.NewTable(&portal.Portal{HostID: c.HostID, Signer: c.signer, Key: c.Keys[0], ShortKeys: c.Keys.short(), Limits: c.limits})
	}
	f, err := os.Open(c.PortalsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPortalsFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPortalsFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", c.PortalsFile, maxPortalsFile)
	}
	return c.parsePortals(text)
}

func (c *Common) parsePortals(text []byte) (*portal.Table, error) {
	var file portalsFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, jsonFault(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("unexpected text after the JSON object")
	}
	var portals []*portal.Portal
	var faults []error
	for i, entry := range file.Portals {
		p, err := c.portal(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf("portal %d: %w", i+1, err))
			continue
		}
		portals = append(portals, p)
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return portal.NewTable(portals...)
}

// jsonFault returns where a file is not JSON of the right form. It does not show the value there,
// which may be a secret.
func jsonFault(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("invalid JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s: expected %s", cmp.Or(kind.Field, "file"), jsonType(kind.Type.Kind()))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	default:
		return errors.New("invalid JSON")
	}
}

// jsonType returns the name in JSON of a kind of field in [portalsFile].
func jsonType(kind reflect.Kind) string {
	switch kind {
	case reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	default:
		return "a whole number"
	}
}

var (
	clientID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hostID   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

func (c *Common) portal(entry portalEntry) (*portal.Portal, error) {
	if entry.ClientID != "" && !clientID.MatchString(entry.ClientID) {
		return nil, errors.New("client_id must be 32 lower-case hexadecimal digits")
	}
	if entry.HostID != "" && !hostID.MatchString(entry.HostID) {
		return nil, errors.New("host_id must be 1 to 64 letters, digits, dots, dashes and underscores")
	}
	if entry.Licence != "" && !clientID.MatchString(entry.Licence) {
		return nil, errors.New("licence must be an MD5 sum of 32 lower-case hexadecimal digits")
	}
	if len(entry.Keys) == 0 {
		return nil, errors.New("no keys")
	}
	var keys Keys
	for i, key := range entry.Keys {
		if key != strings.TrimSpace(key) {
			return nil, fmt.Errorf("key %d has white space around it", i+1)
		}
		keys = append(keys, []byte(key))
	}
	if problem, hint := checkKeys(keys, c.AllowShortKeys); problem != "" {
		return nil, fmt.Errorf("%s: %s", problem, hint)
	}
	signer, err := sign.New(c.SignatureAlgo, keys...)
	if err != nil {
		return nil, err
	}
	p := &portal.Portal{ClientID: entry.ClientID, HostID: entry.HostID, Signer: signer, Key: keys[0], ShortKeys: keys.short(), Licence: entry.Licence, Limits: c.limits}
	return p, errors.Join(
		limit(&p.Limits.Payload, entry.Limits.Payload, "payload", 1, maxPayload),
		limit(&p.Limits.Messages, entry.Limits.Messages, "messages", 1, maxMessages),
		limit(&p.Limits.Channels, entry.Limits.Channels, "channels", 1, maxChannels),
		limit(&p.Limits.Connections, entry.Limits.Connections, "connections", 0, maxConnections),
		limit(&p.Limits.Posts, entry.Limits.Posts, "posts", 1, maxPosts),
		limit(&p.Limits.Rate, entry.Limits.Rate, "rate", 0, maxRate),
	)
}

// limit sets field to value, if there is one, and checks its bounds.
func limit[T int | int64](field, value *T, name string, least, most T) error {
	if value == nil {
		return nil
	}
	*field = *value
	if *value < least || *value > most {
		return fmt.Errorf("limit of %s: %d is out of bounds (from %d to %d)", name, *value, least, most)
	}
	return nil
}
