package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// TracesEndpoint is the URL to which traces are posted; empty if there is none.
type TracesEndpoint string

// UnmarshalText checks a URL, and adds the usual path to one without a path. Its errors do not
// repeat it.
func (e *TracesEndpoint) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil:
		return errors.New("invalid URL")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return errors.New("the scheme is neither http nor https")
	case parsed.Hostname() == "":
		return errors.New("there is no host")
	case parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return errors.New("there is more than a host and a path")
	}
	if parsed.Path == "" || parsed.Path == "/" {
		parsed.Path = "/v1/traces"
	}
	*e = TracesEndpoint(parsed.String())
	return nil
}

// Header is a header of a request.
type Header struct{ Name, Value string }

// Headers are headers of requests. Their values never show in logs or errors.
type Headers []Header

// UnmarshalText reads headers that are separated by commas, as OTEL_EXPORTER_OTLP_HEADERS has them.
// Its errors do not repeat a value.
func (h *Headers) UnmarshalText(text []byte) error {
	*h = nil
	for i, entry := range strings.Split(string(text), ",") {
		name, encoded, ok := strings.Cut(strings.TrimSpace(entry), "=")
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		name = strings.TrimSpace(name)
		if !ok || err != nil || !isToken(name) || strings.ContainsFunc(value, isControl) {
			return fmt.Errorf("header %d is not a name, an equals sign and a value", i+1)
		}
		*h = append(*h, Header{name, value})
	}
	return nil
}

// isToken reports whether s can be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// isControl reports whether c must not be in the value of a header.
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// Format keeps the values out of whatever is printed, by any verb.
func (h Headers) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%d redacted", len(h)) }

// LogValue keeps the values out of logs.
func (h Headers) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(h)) }

// MarshalText keeps the values out of whatever is encoded.
func (h Headers) MarshalText() ([]byte, error) { return fmt.Append(nil, h), nil }
