package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"pushgate/internal/channel"
	"pushgate/internal/policy"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/redisurl"
	"pushgate/internal/sign"
)

// Fault is one thing that is wrong with an environment. It never holds the value of a secret.
type Fault struct {
	Variable string // its whole name
	Problem  string
	Hint     string // how to correct it
}

// Faults is everything that is wrong with an environment, sorted by variable.
type Faults []Fault

// Error returns a line for each fault.
func (f Faults) Error() string {
	var b strings.Builder
	b.WriteString("invalid environment:")
	for _, fault := range f {
		fmt.Fprintf(&b, "\n  %s: %s (%s)", fault.Variable, fault.Problem, fault.Hint)
	}
	return b.String()
}

// loader reads the environment of one program and collects what is wrong with it.
type loader struct {
	// environ has the variables that begin with Prefix. An empty one counts as not set, because
	// compose files cannot omit it.
	environ map[string]string
	found   Faults
}

func newLoader(environ []string) *loader {
	l := &loader{environ: map[string]string{}}
	known := names()
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		if !slices.Contains(known, name) {
			l.fault(name, "unknown variable", "did you mean "+nearest(name, known)+"?")
		}
		l.environ[name] = value
	}
	return l
}

// fault notes a problem of a variable. Only the first one of each variable counts: the next is
// often only its consequence.
func (l *loader) fault(variable, problem, hint string) {
	if !slices.ContainsFunc(l.found, func(f Fault) bool { return f.Variable == variable }) {
		l.found = append(l.found, Fault{variable, problem, hint})
	}
}

func (l *loader) faults() error {
	if len(l.found) == 0 {
		return nil
	}
	slices.SortFunc(l.found, func(a, b Fault) int { return cmp.Compare(a.Variable, b.Variable) })
	return l.found
}

// parse fills in T, a program's struct.
func parse[T any](l *loader) T {
	t, err := env.ParseAsWithOptions[T](env.Options{
		Prefix:      Prefix,
		Environment: l.environ,
		FuncMap:     map[reflect.Type]env.ParserFunc{reflect.TypeFor[channel.Grammar](): parseGrammar},
	})
	var all env.AggregateError
	if err == nil || !errors.As(err, &all) {
		return t
	}
	for _, err := range all.Errors {
		var bad env.ParseError
		if !errors.As(err, &bad) {
			panic("config: " + err.Error()) // a bug in the structs of this package
		}
		field, _ := reflect.TypeFor[T]().FieldByName(bad.Name)
		name := Prefix + field.Tag.Get("env")
		l.fault(name, problem(bad, l.environ[name]), hints[field.Type])
	}
	return t
}

// problem returns what is wrong with a value. Types of this module that refuse a value say so in
// their own words.
func problem(bad env.ParseError, value string) string {
	switch bad.Type.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return fmt.Sprintf("invalid value %q", value)
	default:
		return bad.Err.Error()
	}
}

var hints = map[reflect.Type]string{
	reflect.TypeFor[bool]():                "true or false",
	reflect.TypeFor[int]():                 "a whole number",
	reflect.TypeFor[int64]():               "a whole number",
	reflect.TypeFor[time.Duration]():       "a duration such as 500ms, 40s or 2m",
	reflect.TypeFor[Keys]():                "comma-separated keys of at least 16 bytes, as in the portal's settings",
	reflect.TypeFor[channel.Grammar]():     "1 or 2",
	reflect.TypeFor[slog.Level]():          "debug, info, warn or error",
	reflect.TypeFor[policy.TTLRules]():     "rules such as im_startWriting=2m,online_*=2m,*=24h",
	reflect.TypeFor[policy.ReplicaRules](): "rules such as im_message=1,im_*=0",
	reflect.TypeFor[Networks]():            "comma-separated networks such as 10.0.0.0/8,192.0.2.7",
	reflect.TypeFor[ServerURL]():           "http://HOST:PORT or https://USER:PASSWORD@HOST, without a path",
	reflect.TypeFor[float64]():             "a number such as 0.01",
	reflect.TypeFor[TracesEndpoint]():      "http://127.0.0.1:4318 or https://collector.example.com/v1/traces; user and password belong into " + Prefix + "TRACES_HEADERS",
	reflect.TypeFor[Headers]():             "name=value, several separated by commas, the values percent-encoded",
	reflect.TypeFor[AdminTokens]():         "NAME:ROLE:TOKEN, several separated by commas; the role is view or act; `openssl rand -hex 24` makes a token",
	reflect.TypeFor[SharedHost]():          "push.example.com or push.example.com:8443: portals write https:// before it themselves",
	reflect.TypeFor[Origins]():             "comma-separated hosts such as portal.example.com,*.example.org",
}

// Upper bounds of limits.
const (
	maxPayload     = 64 << 20
	maxMessages    = 10_000
	maxChannels    = proto.MaxReceivers
	maxConnections = 1_000_000
	maxPosts       = 1_000_000
	maxRate        = 1_000_000
	// maxWindow is in either direction; idempotency keys are kept for ten minutes.
	maxWindow = 5 * time.Minute
)

var processID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// common checks what the types of the fields do not check, and sets the fields that are derived
// from others.
func (l *loader) common(c *Common) {
	switch {
	case c.Keys == nil && c.PortalsFile == "":
		l.fault(Prefix+"KEYS", "it is not set", "the portal's signature key, or several separated by commas; or "+Prefix+"PORTALS")
	case c.Keys != nil && c.PortalsFile != "":
		l.fault(Prefix+"KEYS", "it is set, and so is "+Prefix+"PORTALS", "only one of the two: the file holds the keys of every portal")
	case c.HostID != "" && c.PortalsFile != "":
		l.fault(Prefix+"HOST_ID", "it is set, and so is "+Prefix+"PORTALS", "host_id in the file, for each portal")
	}
	if problem, hint := checkKeys(c.Keys, c.AllowShortKeys); problem != "" {
		l.fault(Prefix+"KEYS", problem, hint)
	}
	l.redis(c.RedisURL)
	l.signer(c)
	within(l, "CHANNEL_CAP", c.ChannelCap, 1, 1_000_000)
	within(l, "CHANNEL_WRITE_WINDOW", c.WriteWindow, 0, 366*24*time.Hour)
	within(l, "MAX_PAYLOAD", c.MaxPayload, 1, maxPayload)
	within(l, "MAX_MESSAGES", c.MaxMessages, 1, maxMessages)
	within(l, "MAX_CHANNELS", c.MaxChannels, 1, maxChannels)
	within(l, "MAX_POSTS", c.MaxPosts, 1, maxPosts)
	within(l, "MAX_POSTS_BYTES", c.MaxPostsBytes, 1<<20, 1<<40)
	within(l, "TRAIL_BYTES", c.TrailBytes, 0, 1<<32)
	within(l, "DRAIN", c.Drain, 0, time.Hour)
	l.address("ADMIN_LISTEN", c.AdminListen)
	if !c.AdminPublic && !local(c.AdminListen) {
		l.fault(Prefix+"ADMIN_LISTEN", fmt.Sprintf("other machines can reach %q", c.AdminListen),
			"a loopback address or a unix socket; or set "+Prefix+"ADMIN_PUBLIC=true")
	}
	for _, token := range c.AdminTokens {
		if slices.ContainsFunc(c.Keys, func(key []byte) bool { return string(key) == token.Secret }) {
			l.fault(Prefix+"ADMIN_TOKENS", fmt.Sprintf("the token of %s is a signature key of the portal", token.Name), "a token of its own; `openssl rand -hex 24` makes one")
		}
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		l.fault(Prefix+"LOG_FORMAT", fmt.Sprintf("unknown format %q", c.LogFormat), "json or text")
	}
	within(l, "TRACES_RATIO", c.TracesRatio, 0, 1)
	if c.ID == "" {
		c.ID = ownID()
	}
	if !processID.MatchString(c.ID) {
		l.fault(Prefix+"ID", fmt.Sprintf("invalid name %q", c.ID), "up to 100 letters, digits, dots, dashes and underscores")
	}
}

func (l *loader) redis(text string) {
	if _, err := redisurl.Parse(text); err != nil { // without the value, which may hold a password
		l.fault(Prefix+"REDIS_URL", "invalid address of a Redis server: "+err.Error(), redisurl.Forms)
	}
}

func (l *loader) signer(c *Common) {
	if _, err := sign.New(c.SignatureAlgo, []byte("any")); err != nil {
		l.fault(Prefix+"SIGNATURE_ALGO", err.Error(), "sha1, sha256, sha384, sha512 or md5, the same as in the portal's settings")
		return
	}
	// Fails only without keys or with an empty one, which common has noted.
	c.signer, _ = sign.New(c.SignatureAlgo, c.Keys...)
}

// portals reads the file of portals once, to note what is wrong with it.
func (l *loader) portals(c *Common, limits portal.Limits) {
	c.limits = limits
	if c.PortalsFile == "" || len(l.found) > 0 {
		return
	}
	if _, err := c.Portals(); err != nil {
		l.fault(Prefix+"PORTALS", err.Error(), `a JSON file such as {"portals": [{"client_id": "…", "keys": ["…"]}]}, which docs/protocol.md describes`)
	}
}

// address checks the form of an address to listen at.
func (l *loader) address(variable, address string) {
	if name, ok := strings.CutPrefix(address, "unix:"); ok {
		if !filepath.IsAbs(name) {
			l.fault(Prefix+variable, fmt.Sprintf("the path of %q is not absolute", address), "unix:/run/pushgate/name.sock")
		}
		return
	}
	_, port, err := net.SplitHostPort(address)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		l.fault(Prefix+variable, fmt.Sprintf("invalid address %q", address), "host:port or unix:/path")
	}
}

// local reports whether only this machine can reach an address.
func local(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func within[T int | int64 | float64 | time.Duration](l *loader, variable string, value, least, most T) {
	if !(value >= least && value <= most) { // NaN is neither
		l.fault(Prefix+variable, fmt.Sprintf("%v is out of bounds", value), fmt.Sprintf("from %v to %v", least, most))
	}
}

// ownID returns a name of host name and process number, which no other running process has.
func ownID() string {
	host, err := os.Hostname()
	if err != nil || !processID.MatchString(host) {
		host = "pushgate"
	}
	return host[:min(len(host), 80)] + "-" + strconv.Itoa(os.Getpid())
}

// nearest returns the known name that is the fewest edits away from name.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
}

// distance returns the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			edit := diagonal
			if a[i] != b[j] {
				edit++
			}
			diagonal = row[j+1]
			row[j+1] = min(edit, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
