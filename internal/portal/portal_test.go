package portal

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

const (
	clientA = "fcda45d0859442735f07b8bb5825ded1"
	clientB = "0123456789abcdef0123456789abcdef"
)

func table(t *testing.T, portals ...*Portal) *Table {
	t.Helper()
	table, err := NewTable(portals...)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestFind(t *testing.T) {
	personal, a, b := &Portal{}, &Portal{ClientID: clientA, HostID: "host-a"}, &Portal{ClientID: clientB}
	alone, shared, mixed := table(t, personal), table(t, b, a), table(t, a, personal)
	for _, c := range []struct {
		what  string
		table *Table
		id    string
		want  *Portal
	}{
		{"alone", alone, "", personal},
		{"alone, named", alone, clientA, personal},
		{"shared, a", shared, clientA, a},
		{"shared, b", shared, clientB, b},
		{"shared, nobody", shared, "", nil},
		{"shared, unknown", shared, strings.Repeat("0", 32), nil},
		{"mixed, a", mixed, clientA, a},
		{"mixed, personal", mixed, "", personal},
		{"mixed, unknown", mixed, clientB, nil},
	} {
		if got := c.table.Find(c.id); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	if shared.FindHost("host-a") != a || shared.FindHost("") != nil || shared.FindHost("host-b") != nil {
		t.Error("host ids are mixed up")
	}
	if a.Name() != clientA || personal.Name() != Default {
		t.Errorf("names %s and %s", a.Name(), personal.Name())
	}
}

func TestNoTable(t *testing.T) {
	for _, c := range []struct {
		portals []*Portal
		want    error
	}{
		{nil, ErrNone},
		{[]*Portal{{}, {}}, ErrClientID},
		{[]*Portal{{ClientID: clientA}, {ClientID: clientA}}, ErrClientID},
		{[]*Portal{{ClientID: clientA, HostID: "x"}, {ClientID: clientB, HostID: "x"}}, ErrHostID},
	} {
		if _, err := NewTable(c.portals...); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.portals, err, c.want)
		}
	}
}

// TestRegister has hashes computed by hand as PHP does, md5(md5(licence|CP) . md5(licence key)),
// for the portal whose key is "0123456789".
func TestRegister(t *testing.T) {
	const key = "the signature key of portal a"
	licence := hexMD5("0123456789")
	portals := table(t, &Portal{ClientID: clientA, Signer: testkit.Signer(key), Key: []byte(key), Licence: licence}, &Portal{ClientID: clientB, Key: []byte("other")})
	query := func(client, kind, hash string) string {
		return url.Values{"BX_LICENCE": {client}, "BX_TYPE": {kind}, "BX_HASH": {hash}, "BX_ALL": {"y"}}.Encode()
	}
	right := hexMD5(hexMD5(clientA+"|CP") + "781e5e245d69b566979b86e28d23f2c7")
	for _, c := range []struct {
		query string
		err   error
	}{
		{query(clientA, "CP", right), nil},
		{query(clientA, "CP", strings.ToUpper(right)), ErrWrongSign},
		{query(clientA, "BX", right), ErrWrongSign},
		{query(clientA, "CP", hexMD5(hexMD5(clientA+"|CP"))), ErrWrongSign},
		{query(clientB, "CP", hexMD5(hexMD5(clientB+"|CP"))), ErrLicenceNotFound},
		{query(strings.Repeat("0", 32), "CP", right), ErrLicenceNotFound},
		{query("", "CP", right), ErrWrongRequest},
		{query(clientA, "CP", ""), ErrWrongRequest},
		{"%zz", ErrWrongRequest},
		{"", ErrWrongRequest},
	} {
		got, err := portals.Register(c.query)
		if err != c.err || err == nil && got != key || err != nil && got != "" {
			t.Errorf("%s: %q %v, want %v", c.query, got, err, c.err)
		}
	}
}

func TestSecretsStaySecret(t *testing.T) {
	p := &Portal{ClientID: clientA, Key: []byte("very-secret"), Licence: "very-secret"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "portal", p)
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text += fmt.Sprintf(verb, p)
	}
	if strings.Contains(text, "very-secret") || strings.Contains(text, fmt.Sprint([]byte("very-secret"))) {
		t.Error(text)
	}
}
