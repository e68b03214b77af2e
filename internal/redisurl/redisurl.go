// Package redisurl parses the URL of a single Redis server, of Sentinels or of a cluster.
package redisurl

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shape is the kind of a Redis installation.
type Shape int

// The shapes.
const (
	Single Shape = iota // one server
	// A master with replicas, watched by sentinels that know which is the master.
	Sentinel
	Cluster // several masters, each with a part of the keys
)

// Address is a parsed URL. It holds passwords: do not print it.
type Address struct {
	Shape  Shape
	Unix   bool     // Hosts has one element, the path of a unix socket
	Hosts  []string // host:port: the server, the sentinels, or some nodes of the cluster
	Master string   // the sentinels' name for the master
	DB     int

	User, Password                 string // of Redis
	SentinelUser, SentinelPassword string // of the sentinels, if they demand any
	TLS                            *TLS   // nil: none; also used for sentinels

	PoolSize                               int           // connections to a server; 0: a default
	DialTimeout, ReadTimeout, WriteTimeout time.Duration // 0: a default
}

// TLS has the certificates of a connection. The zero value trusts the certificate authorities of
// the system. Verification cannot be switched off, because passwords are sent over the connection.
type TLS struct {
	CA         string // path of the certificate authorities to trust, in PEM
	Cert, Key  string // paths of the client's own, in PEM
	ServerName string // the name to expect in the servers' certificates, instead of the host name
}

// Forms lists the forms of a URL, for error messages.
const Forms = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], unix://[USER:PASSWORD@]/PATH[?db=DB], " +
	"redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/MASTER[/DB] or redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]; " +
	"with rediss instead of redis for TLS"

// Parse parses a URL. Its errors do not repeat any part of the URL except names of known
// parameters.
func Parse(text string) (Address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Address{}, errors.New("no scheme")
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return Address{}, errors.New("a character must be percent-encoded")
	}
	rest, query, _ := strings.Cut(rest, "?")
	a, err := parseScheme(scheme)
	if err != nil {
		return Address{}, err
	}
	// A host contains no @, and a password has it percent-encoded.
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if a.User, a.Password, err = parseUser(authority[:at]); err != nil {
			return Address{}, err
		}
		authority = authority[at+1:]
	}
	if a.Unix {
		err = a.socket(authority, path)
	} else {
		err = errors.Join(a.hosts(authority), a.path(path))
	}
	if err == nil {
		err = a.parameters(query)
	}
	if err != nil {
		return Address{}, err
	}
	return a, nil
}

func parseScheme(scheme string) (Address, error) {
	if scheme == "unix" {
		return Address{Unix: true}, nil
	}
	base, shape, _ := strings.Cut(scheme, "+")
	var a Address
	switch {
	case scheme == "redis" || scheme == "rediss":
	case shape == "sentinel":
		a.Shape = Sentinel
	case shape == "cluster":
		a.Shape = Cluster
	default:
		base = ""
	}
	switch base {
	case "redis":
	case "rediss":
		a.TLS = &TLS{}
	default:
		return Address{}, errors.New("unknown scheme")
	}
	return a, nil
}

func parseUser(info string) (user, password string, err error) {
	user, password, _ = strings.Cut(info, ":")
	user, bad := url.PathUnescape(user)
	password, worse := url.PathUnescape(password)
	if bad != nil || worse != nil {
		return "", "", errors.New("user or password not percent-encoded")
	}
	if password == "" {
		return "", "", errors.New("user without a password")
	}
	return user, password, nil
}

func (a *Address) socket(host, path string) error {
	unescaped, err := url.PathUnescape(path)
	if err != nil || host != "" || unescaped == "" {
		return errors.New("no absolute path of a socket")
	}
	a.Hosts = []string{"/" + unescaped}
	return nil
}

func (a *Address) hosts(list string) error {
	port := "6379"
	if a.Shape == Sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(list, ",") {
		if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
			host += ":" + port
		}
		name, port, err := net.SplitHostPort(host)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || name == "" || strings.ContainsAny(name, "@%") {
			return errors.New("missing or malformed host")
		}
		a.Hosts = append(a.Hosts, host)
	}
	if a.Shape == Single && len(a.Hosts) > 1 {
		return errors.New("several hosts, but neither sentinels nor a cluster")
	}
	return nil
}

func (a *Address) path(path string) error {
	db := path
	switch a.Shape {
	case Sentinel:
		a.Master, db, _ = strings.Cut(path, "/")
		if a.Master == "" {
			return errors.New("no name of the master")
		}
	case Cluster:
		if path != "" {
			return errors.New("a cluster has no databases")
		}
	}
	return a.database(db)
}

func (a *Address) database(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return errors.New("database is not a number")
	}
	a.DB = int(n)
	return nil
}

func (a *Address) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("malformed parameters")
	}
	texts := map[string]*string{}
	if a.TLS != nil {
		texts["ca"], texts["cert"], texts["key"], texts["server_name"] = &a.TLS.CA, &a.TLS.Cert, &a.TLS.Key, &a.TLS.ServerName
	}
	if a.Shape == Sentinel {
		texts["sentinel_username"], texts["sentinel_password"] = &a.SentinelUser, &a.SentinelPassword
	}
	times := map[string]*time.Duration{"dial_timeout": &a.DialTimeout, "read_timeout": &a.ReadTimeout, "write_timeout": &a.WriteTimeout}
	for name, all := range values {
		value := all[0]
		switch {
		case len(all) > 1:
			err = errors.New("duplicate parameter")
		case texts[name] != nil:
			*texts[name] = value
		case times[name] != nil:
			*times[name], err = duration(name, value)
		case name == "pool_size":
			a.PoolSize, err = strconv.Atoi(value)
			if err != nil || a.PoolSize < 1 {
				err = errors.New("pool_size must be a number above 0")
			}
		case name == "db" && a.Unix:
			err = a.database(value)
		default:
			err = fmt.Errorf("unknown parameter; known ones are %s", strings.Join(names(texts, times, a.Unix), ", "))
		}
		if err != nil {
			return err
		}
	}
	if t := a.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		return errors.New("cert and key must be set together")
	}
	return nil
}

// duration parses a time-out of up to a minute.
func duration(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > time.Minute {
		return 0, fmt.Errorf("%s must be a duration of up to a minute, such as 500ms", name)
	}
	return d, nil
}

func names(texts map[string]*string, times map[string]*time.Duration, unix bool) []string {
	all := []string{"pool_size"}
	for name := range texts {
		all = append(all, name)
	}
	for name := range times {
		all = append(all, name)
	}
	if unix {
		all = append(all, "db")
	}
	slices.Sort(all)
	return all
}
