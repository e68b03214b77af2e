package config

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// leastBytes is how many different bytes a token must have: fewer are a pattern, not a secret.
const leastBytes = 6

var adminName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,49}$`)

// AdminToken says who may use the admin port, and by which secret.
type AdminToken struct {
	Name   string
	Act    bool // whether the role is act; else it is view
	Secret string
}

// AdminTokens are several. They never show in logs or errors, but for names and roles.
type AdminTokens []AdminToken

// UnmarshalText reads tokens in the form NAME:ROLE:TOKEN that are separated by commas, so a token
// that holds a comma cannot be given.
func (a *AdminTokens) UnmarshalText(text []byte) error {
	*a = nil
	for i, entry := range strings.Split(string(text), ",") {
		token, err := parseAdminToken(i+1, strings.TrimSpace(entry))
		if err != nil {
			return err
		}
		for _, other := range *a {
			switch {
			case other.Name == token.Name:
				return fmt.Errorf("there are two tokens with the name %s", token.Name)
			case other.Secret == token.Secret:
				return fmt.Errorf("%s and %s have the same token", other.Name, token.Name)
			}
		}
		*a = append(*a, token)
	}
	return nil
}

// parseAdminToken reads one entry. What is not a valid name, or is as long as a token, may be a
// secret in the wrong place, and is not repeated.
func parseAdminToken(number int, entry string) (t AdminToken, err error) {
	parts := strings.SplitN(entry, ":", 3)
	if len(parts) < 3 {
		return t, fmt.Errorf("entry %d is not NAME:ROLE:TOKEN", number)
	}
	name, role, secret := parts[0], parts[1], parts[2]
	who := name
	if len(name) >= MinKey {
		who = fmt.Sprintf("entry %d", number)
	}
	switch {
	case !adminName.MatchString(name):
		return t, fmt.Errorf("the name of entry %d is not up to 50 letters, digits, dots, dashes, underscores and @", number)
	case role != "view" && role != "act":
		return t, fmt.Errorf("the role of %s is neither view nor act", who)
	case len(secret) < MinKey:
		return t, fmt.Errorf("the token of %s has %d bytes, fewer than %d", who, len(secret), MinKey)
	case PublishedWhere([]byte(secret)) != "":
		return t, fmt.Errorf("the token of %s is published %s, so that it protects nothing", who, PublishedWhere([]byte(secret)))
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return t, fmt.Errorf("the token of %s has a byte that is no visible character of ASCII", who)
	case different(secret) < leastBytes:
		return t, fmt.Errorf("the token of %s has fewer than %d different characters", who, leastBytes)
	}
	return AdminToken{name, role == "act", secret}, nil
}

func different(text string) int {
	bytes := []byte(text)
	slices.Sort(bytes)
	return len(slices.Compact(bytes))
}

// Format keeps the secrets out of whatever is printed, by any verb.
func (a AdminTokens) Format(s fmt.State, _ rune) {
	for i, token := range a {
		if i > 0 {
			fmt.Fprint(s, ",")
		}
		token.Format(s, 'v')
	}
}

// Format keeps the secret out of whatever is printed, by any verb.
func (t AdminToken) Format(s fmt.State, _ rune) {
	role := "view"
	if t.Act {
		role = "act"
	}
	fmt.Fprintf(s, "%s:%s:redacted", t.Name, role)
}

// LogValue keeps the secrets out of logs.
func (a AdminTokens) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// LogValue keeps the secret out of logs.
func (t AdminToken) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// MarshalText keeps the secrets out of whatever is encoded.
func (a AdminTokens) MarshalText() ([]byte, error) { return fmt.Append(nil, a), nil }

// MarshalText keeps the secret out of whatever is encoded.
func (t AdminToken) MarshalText() ([]byte, error) { return fmt.Append(nil, t), nil }
