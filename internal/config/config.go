// Package config reads and checks the settings of the programs, which come from the environment.
package config

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/policy"
	"pushgate/internal/portal"
	"pushgate/internal/sign"
)

//go:generate go test -run=TestDocs -update .

// Prefix is what the name of every variable begins with.
const Prefix = "PUSHGATE_"

// maxSocketPath is the longest path of a unix socket that the kernel accepts, in bytes.
const maxSocketPath = 107

// Common has the settings of every program. The table of docs/configuration.md is generated from
// its doc tags and those of the programs' own structs; single quotes in them become code.
type Common struct {
	RedisURL       string              `env:"REDIS_URL" secret:"url" envDefault:"redis://127.0.0.1:6379/0" doc:"the Redis that holds the log: 'redis://', 'rediss://' (TLS), 'unix:///path', 'redis+sentinel://' or 'redis+cluster://'; see [Redis](operations.md#redis)"`
	Keys           Keys                `env:"KEYS" default:"required, or 'PUSHGATE_PORTALS'" doc:"signature keys of the portal, separated by commas, each at least 16 bytes. The first one signs; all of them verify"`
	AllowShortKeys bool                `env:"ALLOW_SHORT_KEYS" envDefault:"false" doc:"accept keys of fewer than 16 bytes, for the time until the portal has a longer one. Each start logs a warning"`
	PortalsFile    string              `env:"PORTALS" default:"one portal" doc:"path of a JSON file with [the portals to serve](protocol.md#many-portals), instead of 'PUSHGATE_KEYS'. SIGHUP reads it again"`
	SignatureAlgo  string              `env:"SIGNATURE_ALGO" envDefault:"sha1" doc:"HMAC algorithm, the same as in the settings of the portal: 'sha1', 'sha256', 'sha384', 'sha512' or 'md5'"`
	HostID         string              `env:"HOST_ID" secret:"all" default:"any" doc:"option 'host_id' of the portal. If it is set, tokens and posts of version 5 must name it"`
	Grammar        channel.Grammar     `env:"CHANNEL_GRAMMAR" envDefault:"2" doc:"generation of channel ids. '2': hexadecimal digits. '1': any letters and digits, and the error texts of the first generation"`
	ChannelCap     int                 `env:"CHANNEL_CAP" envDefault:"10000" doc:"most messages that the log keeps for one channel"`
	WriteWindow    time.Duration       `env:"CHANNEL_WRITE_WINDOW" envDefault:"0" doc:"how long a channel accepts messages, counted from its first one; '0' is for ever"`
	MaxPayload     int64               `env:"MAX_PAYLOAD" envDefault:"1048576" doc:"most bytes of one message"`
	MaxMessages    int                 `env:"MAX_MESSAGES" envDefault:"100" doc:"most messages in one binary batch"`
	MaxChannels    int                 `env:"MAX_CHANNELS" envDefault:"100" doc:"most receivers of one message in a batch, and most channels in one request for who is online"`
	MaxPosts       int                 `env:"MAX_POSTS" envDefault:"4096" doc:"most posts that may be on their way into Redis at one time, messages of clients over WebSocket included, in all and for each portal that has no limit of its own. Beyond it a publisher answers 429 with 'Retry-After'"`
	MaxPostsBytes  int64               `env:"MAX_POSTS_BYTES" envDefault:"268435456" doc:"the same for the bytes of their bodies"`
	TTLRules       policy.TTLRules     `env:"TTL_RULES" envDefault:"im_startWriting=2m,online_*=2m,*=24h" doc:"longest life of a message by its type; the first rule that matches counts"`
	Replicas       policy.ReplicaRules `env:"WAIT_REPLICAS" default:"none" doc:"how many replicas must have a message before the post is answered with success, by message type, such as 'im_message=1'. If fewer have it in time, the answer is 503"`
	RedisStrict    bool                `env:"REDIS_STRICT" envDefault:"false" doc:"do not start over a Redis whose settings endanger messages, instead of logging a warning; see [Redis](operations.md#redis)"`
	TrailBytes     int                 `env:"TRAIL_BYTES" envDefault:"8388608" doc:"most bytes that a process keeps to [explain](operations.md#why-did-a-message-not-arrive) what became of messages. They are used as there is something to keep. '0' keeps nothing"`
	AdminListen    string              `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:0" doc:"address of the [admin port](operations.md#the-admin-port): 'host:port' or 'unix:/path'. Port 0 takes any free port; the log names it"`
	AdminPublic    bool                `env:"ADMIN_PUBLIC" envDefault:"false" doc:"allow 'PUSHGATE_ADMIN_LISTEN' to be an address that other machines can reach"`
	AdminTokens    AdminTokens         `env:"ADMIN_TOKENS" default:"none" doc:"who may use the parts of the [admin port](operations.md#the-admin-port) that need a token: 'NAME:ROLE:TOKEN', several separated by commas. The role is 'view' or 'act', the token has at least 16 bytes. The same for every process"`
	AdminHosts     Origins             `env:"ADMIN_HOSTS" default:"none" doc:"host names by which those parts may be asked, as in 'PUSHGATE_HOSTS', beside addresses and 'localhost'"`
	Drain          time.Duration       `env:"DRAIN" envDefault:"10s" doc:"when an edge leaves, it asks its sessions to reconnect, spread over this time; when a publisher leaves, it waits so long for connections that are kept for more posts"`
	ID             string              `env:"ID" default:"host name and process number" doc:"name of this process; no other edge or publisher may have the same"`
	LogLevel       slog.Level          `env:"LOG_LEVEL" envDefault:"info" doc:"'debug', 'info', 'warn' or 'error'"`
	LogFormat      string              `env:"LOG_FORMAT" envDefault:"json" doc:"'json' or 'text'"`
	TracesEndpoint TracesEndpoint      `env:"TRACES_ENDPOINT" default:"none" doc:"where to send [traces](operations.md#traces), by OTLP over HTTP as JSON, such as 'http://127.0.0.1:4318'. Without a path, '/v1/traces' is added"`
	TracesHeaders  Headers             `env:"TRACES_HEADERS" default:"none" doc:"headers of these requests, such as 'authorization=Bearer%20TOKEN': several separated by commas, values percent-encoded, as in 'OTEL_EXPORTER_OTLP_HEADERS'"`
	TracesRatio    float64             `env:"TRACES_RATIO" envDefault:"0.01" doc:"which part of the posts is traced, from '0' to '1'. A portal that sends 'traceparent' decides itself about its posts"`
	TracesService  string              `env:"TRACES_SERVICE" envDefault:"pushgate" doc:"'service.name' of the traces, to tell installations apart"`

	signer *sign.Signer  // made of Keys and SignatureAlgo; nil if there are no keys
	limits portal.Limits // of portals whose entry in the file sets none
}

// Base returns what every program has.
func (c Common) Base() Common { return c }

// Edge has the settings of an edge. [LoadEdge] returns it complete and within bounds.
type Edge struct {
	Common
	Listen   string `env:"LISTEN" envDefault:"127.0.0.1:8010" doc:"address that the program listens on: 'host:port' or 'unix:/path'"`
	Handover string `env:"HANDOVER" default:"none" doc:"absolute path of a unix socket. An edge that is started later with the same settings takes over the listeners and WebSockets through it, and this one then ends. Linux only"`
	Subscribing
}

// Subscribing is how subscribers are served, by an edge or by a process that is one among other
// things.
type Subscribing struct {
	PollTimeout           time.Duration `env:"POLL_TIMEOUT" envDefault:"40s" doc:"how long a long poll is held before it is answered with 304"`
	PingInterval          time.Duration `env:"PING_INTERVAL" envDefault:"25s" doc:"time between pings on a WebSocket. After two pings without an answer the connection is closed"`
	MaxConnectionsPerUser int           `env:"MAX_CONNECTIONS_PER_CHANNEL" envDefault:"100" doc:"most connections of one user (one public id) on this edge. One more closes the oldest; '0' is no limit"`
	MaxConnections        int           `env:"MAX_CONNECTIONS" envDefault:"0" doc:"most connections of this edge. Beyond it the answer is 503, and nginx tries another edge. '0' means nine tenths of the descriptors that the process may open, two thirds in 'pushgate serve'"`
	MaxMemory             int64         `env:"MAX_MEMORY" envDefault:"0" doc:"most bytes of memory of this edge. When three quarters are in use, new subscribers get 503. '0' means 'GOMEMLIMIT', or no limit if that is not set"`
	Rebalance             int           `env:"REBALANCE" envDefault:"0" doc:"percentage of its WebSockets that an edge asks to reconnect each minute while it has more than the other edges. '0' switches it off"`
	RecentBytes           int           `env:"RECENT_BYTES" envDefault:"8388608" doc:"bytes of the newest messages that an edge keeps in memory. Clients that return soon are served from it without a read from Redis; '0' keeps none"`
	Origins               Origins       `env:"ORIGINS" envDefault:"*" doc:"hosts of the pages that may subscribe, separated by commas, such as '*.example.com'; '*' is any"`
}

// Publisher has the settings of a publisher. [LoadPublisher] returns it complete and within bounds.
type Publisher struct {
	Common
	Listen string `env:"LISTEN" envDefault:"127.0.0.1:9010" doc:"address that the program listens on: 'host:port' or 'unix:/path'"`
	Publishing
}

// Publishing is how posts are served, by a publisher or by a process that is one among other
// things.
type Publishing struct {
	Allow      Networks      `env:"PUBLISH_ALLOW" envDefault:"127.0.0.0/8,::1/128" doc:"networks that may post without a signature; a unix socket counts as loopback"`
	Window     time.Duration `env:"SIGNATURE_WINDOW" envDefault:"0" doc:"require that signatures of posts and questions [contain a time](protocol.md#signatures-with-a-time) at most this far from now. PHP portals cannot do that; '0' leaves the choice to the sender"`
	Unproven   int64         `env:"MAX_UNPROVEN_BYTES" envDefault:"67108864" doc:"most bytes of bodies that a publisher holds of posts from outside 'PUSHGATE_PUBLISH_ALLOW' before it has checked their signatures. Beyond it, it answers such posts 429 with 'Retry-After'"`
	Signed     bool          `env:"PUBLISH_SIGNED" envDefault:"false" doc:"require a signature for every post, from every network"`
	Hosts      Origins       `env:"HOSTS" default:"any" doc:"host names by which the program may be asked, as the 'Host' header has them, without ports and separated by commas, such as 'push.example.com'. Addresses, 'localhost' and 'PUSHGATE_SHARED_HOST' are always allowed. This keeps a page whose name resolves to this machine from reading statistics"`
	SharedHost SharedHost    `env:"SHARED_HOST" default:"none" doc:"host, with its port if that is not 443, by which portals on other machines reach this installation with TLS, such as 'push.example.com'. [Their settings page](#a-portal-in-shared-mode) asks for it before it registers"`
	Mirror     ServerURL     `env:"MIRROR_URL" default:"none" doc:"another push server, such as 'http://127.0.0.1:9020', that gets [a copy of each accepted post](mirror.md)"`
}

// Serve is the environment of a process that is an edge and a publisher on one port. A loaded one
// is complete and within bounds.
type Serve struct {
	Common
	Listen string `env:"LISTEN" envDefault:"127.0.0.1:8893" doc:"address that the program listens on: 'host:port' or 'unix:/path'"`
	Subscribing
	Publishing
}

// Edge returns the environment of the edge in the process.
func (s Serve) Edge() Edge {
	return Edge{Common: s.Common, Listen: s.Listen, Subscribing: s.Subscribing}
}

// Publisher returns the environment of the publisher in the process. Its id is another one than the
// edge's: both are in the statistics.
func (s Serve) Publisher() Publisher {
	p := Publisher{Common: s.Common, Listen: s.Listen, Publishing: s.Publishing}
	p.ID += "-publisher"
	return p
}

// LoadEdge reads the settings of an edge from an environment in the form of [os.Environ]. An error
// is always of type [Faults].
func LoadEdge(environ []string) (Edge, error) {
	l := newLoader(environ)
	e := parse[Edge](l)
	l.common(&e.Common)
	l.address("LISTEN", e.Listen)
	l.subscribing(e.Subscribing)
	if e.Handover != "" && (!filepath.IsAbs(e.Handover) || len(e.Handover) > maxSocketPath) {
		l.fault(Prefix+"HANDOVER", fmt.Sprintf("invalid path %q of a socket", e.Handover), fmt.Sprintf("/run/pushgate/edge.sock: absolute, at most %d bytes", maxSocketPath))
	}
	l.portals(&e.Common, portal.Limits{Payload: e.MaxPayload, Messages: e.MaxMessages, Channels: e.MaxChannels, Connections: e.MaxConnectionsPerUser, Posts: e.MaxPosts})
	if err := l.faults(); err != nil {
		return Edge{}, err
	}
	return e, nil
}

// LoadPublisher reads the settings of a publisher from an environment in the form of [os.Environ].
// An error is always of type [Faults].
func LoadPublisher(environ []string) (Publisher, error) {
	l := newLoader(environ)
	p := parse[Publisher](l)
	l.common(&p.Common)
	l.address("LISTEN", p.Listen)
	l.publishing(p.Publishing, p.PortalsFile)
	l.portals(&p.Common, portal.Limits{Payload: p.MaxPayload, Messages: p.MaxMessages, Channels: p.MaxChannels, Posts: p.MaxPosts})
	if err := l.faults(); err != nil {
		return Publisher{}, err
	}
	return p, nil
}

// LoadServe reads the environment of an edge and a publisher in one process, in the form of
// [os.Environ]. Every error is [Faults].
func LoadServe(environ []string) (Serve, error) {
	l := newLoader(environ)
	s := parse[Serve](l)
	l.common(&s.Common)
	l.address("LISTEN", s.Listen)
	l.subscribing(s.Subscribing)
	l.publishing(s.Publishing, s.PortalsFile)
	l.portals(&s.Common, portal.Limits{Payload: s.MaxPayload, Messages: s.MaxMessages, Channels: s.MaxChannels, Connections: s.MaxConnectionsPerUser, Posts: s.MaxPosts})
	if err := l.faults(); err != nil {
		return Serve{}, err
	}
	return s, nil
}

// subscribing checks what the types of the fields do not.
func (l *loader) subscribing(s Subscribing) {
	within(l, "POLL_TIMEOUT", s.PollTimeout, 100*time.Millisecond, time.Hour)
	within(l, "PING_INTERVAL", s.PingInterval, 100*time.Millisecond, time.Hour)
	within(l, "MAX_CONNECTIONS_PER_CHANNEL", s.MaxConnectionsPerUser, 0, maxConnections)
	within(l, "MAX_CONNECTIONS", s.MaxConnections, 0, 100*maxConnections)
	within(l, "MAX_MEMORY", s.MaxMemory, 0, 1<<50)
	within(l, "REBALANCE", s.Rebalance, 0, 5)
	within(l, "RECENT_BYTES", s.RecentBytes, 0, 1<<40)
}

// publishing checks what the types of the fields do not.
func (l *loader) publishing(p Publishing, portalsFile string) {
	if p.Window != 0 {
		within(l, "SIGNATURE_WINDOW", p.Window, time.Second, maxWindow)
	}
	within(l, "MAX_UNPROVEN_BYTES", p.Unproven, 1<<20, 1<<40)
	if p.SharedHost != "" && portalsFile == "" {
		l.fault(Prefix+"SHARED_HOST", "it is set, and "+Prefix+"PORTALS is not", "only portals in the file of "+Prefix+"PORTALS can register")
	}
}
