package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/redisurl"
)

// Setting is one variable with the value that a program runs with. Secrets are redacted.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default,omitempty"` // as in docs/configuration.md
}

// Settings returns the settings of a program, which is an [Edge], [Publisher] or [Serve], or of
// [Common] alone, in the order of the struct.
func Settings(program any) []Setting {
	value := reflect.ValueOf(program)
	var all []Setting
	for _, field := range reflect.VisibleFields(value.Type()) {
		name := field.Tag.Get("env")
		if name == "" || name == "-" {
			continue
		}
		s := Setting{Name: Prefix + name, Default: field.Tag.Get("envDefault")}
		if s.Default == "" {
			s.Default = field.Tag.Get("default")
		}
		if v := value.FieldByIndex(field.Index); v.Kind() != reflect.Slice || v.Len() > 0 {
			s.Value = shown(v.Interface(), field.Tag.Get("secret"))
		}
		all = append(all, s)
	}
	return all
}

// shown returns a value as an operator would write it. secret is the tag of its field: "url",
// "all", or nothing. The types of other secrets redact themselves.
func shown(value any, secret string) string {
	switch v := value.(type) {
	case string:
		switch {
		case secret == "url":
			return redactRedis(v)
		case secret == "all" && v != "":
			return "redacted"
		}
		return v
	case Origins:
		return strings.Join(v, ",")
	case Networks:
		return strings.ReplaceAll(strings.Trim(fmt.Sprint([]netip.Prefix(v)), "[]"), " ", ",")
	case channel.Grammar:
		if v == channel.Alphanumeric {
			return "1"
		}
		return "2"
	case slog.Level:
		return strings.ToLower(v.String())
	default:
		return fmt.Sprint(v)
	}
}

// redactRedis returns the parts of a URL of Redis that are no secret.
func redactRedis(text string) string {
	address, err := redisurl.Parse(text)
	if err != nil {
		return "redacted"
	}
	scheme, _, _ := strings.Cut(text, ":")
	shown := scheme + "://"
	if address.User != "" || address.Password != "" {
		shown += "redacted@"
	}
	shown += strings.Join(address.Hosts, ",")
	if address.Master != "" {
		shown += "/" + address.Master
	}
	return fmt.Sprintf("%s/%d", shown, address.DB)
}
