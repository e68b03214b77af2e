package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
)

// ServerURL is the address of another server: a scheme and a host, and perhaps a user and password,
// which never show in logs or errors.
type ServerURL string

// UnmarshalText checks an address. Its errors do not repeat it.
func (u *ServerURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil:
		return errors.New("invalid address of a server")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return errors.New("the scheme is neither http nor https")
	case parsed.Hostname() == "":
		return errors.New("there is no host")
	case parsed.Path != "" && parsed.Path != "/" || parsed.RawQuery != "" || parsed.Fragment != "":
		return errors.New("there is more than a host: posts keep their paths")
	}
	*u = ServerURL(text)
	return nil
}

// URL returns the address; nil if there is none.
func (u ServerURL) URL() *url.URL {
	parsed, err := url.Parse(string(u))
	if err != nil || u == "" {
		return nil
	}
	parsed.Path = ""
	return parsed
}

// Format keeps user and password out of whatever is printed, by any verb.
func (u ServerURL) Format(s fmt.State, _ rune) {
	if parsed := u.URL(); parsed != nil {
		fmt.Fprintf(s, "%s://%s", parsed.Scheme, parsed.Host)
	}
}

// LogValue keeps user and password out of logs.
func (u ServerURL) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(u)) }

// MarshalText keeps user and password out of whatever is encoded.
func (u ServerURL) MarshalText() ([]byte, error) { return fmt.Append(nil, u), nil }
