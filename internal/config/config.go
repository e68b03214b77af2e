// Package config is what the programs are told by their environment, checked before anything starts.
package config

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

//go:generate go test -run=TestREADME -update .

// Prefix is what the name of every variable begins with.
const Prefix = "PUSHGATE_"

// MinKey is how long a signature key must be, in bytes.
const MinKey = 16

// maxSocketPath is what the kernel takes as the name of a unix socket, in bytes.
const maxSocketPath = 107

// Common is what every program needs to know. Its doc tags, and those of the programs' own structs, make the table of the
// README; quotes in them become code.
type Common struct {
	RedisURL      string             `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" doc:"Redis, which holds the log: 'redis://', 'rediss://' for TLS, 'unix:///path', 'redis+sentinel://' or 'redis+cluster://'; see above"`
	Keys          Keys               `env:"KEYS" default:"required, or 'PUSHGATE_PORTALS'" doc:"signature keys of the portal, separated by commas: the first signs, all verify; each at least 16 bytes"`
	PortalsFile   string             `env:"PORTALS" default:"one portal" doc:"JSON file of the portals to serve, in place of 'PUSHGATE_KEYS'; SIGHUP has it read again"`
	SignatureAlgo string             `env:"SIGNATURE_ALGO" envDefault:"sha1" doc:"HMAC algorithm, as set in the portal: 'sha1', 'sha256', 'sha384', 'sha512' or 'md5'"`
	HostID        string             `env:"HOST_ID" default:"any" doc:"option 'host_id' of the portal, which tokens and posts of version 5 must name"`
	Grammar       channel.Grammar    `env:"CHANNEL_GRAMMAR" envDefault:"2" doc:"generation of channel ids: '2' has hexadecimal digits; '1' any letters, and the answers of the first generation"`
	ChannelCap    int                `env:"CHANNEL_CAP" envDefault:"10000" doc:"messages that the log keeps of one channel"`
	WriteWindow   time.Duration      `env:"CHANNEL_WRITE_WINDOW" envDefault:"0" doc:"how long a channel takes messages, from its first one on; '0' is for ever"`
	MaxPayload    int64              `env:"MAX_PAYLOAD" envDefault:"1048576" doc:"bytes that a message may have"`
	MaxMessages   int                `env:"MAX_MESSAGES" envDefault:"100" doc:"messages that a batch of the binary dialect may have"`
	MaxChannels   int                `env:"MAX_CHANNELS" envDefault:"100" doc:"receivers that a message of a batch may have, and channels of a question who is online"`
	MaxPosts      int                `env:"MAX_POSTS" envDefault:"4096" doc:"posts on their way into Redis at a time, those of clients over WebSocket too, and of one portal unless it has a limit of its own; beyond it the answer of a publisher is 429 with 'Retry-After'"`
	MaxPostsBytes int64              `env:"MAX_POSTS_BYTES" envDefault:"268435456" doc:"likewise, bytes of their bodies"`
	TTLRules      proto.TTLRules     `env:"TTL_RULES" envDefault:"im_startWriting=2m,online_*=2m,*=24h" doc:"longest life of a message by its type; the first rule that matches counts"`
	Replicas      proto.ReplicaRules `env:"WAIT_REPLICAS" default:"none" doc:"how many replicas must have a message before its sender is told of success, by its type, such as 'im_message=1'; with fewer the answer is 503"`
	AdminListen   string             `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:0" doc:"address of '/livez', '/readyz' and '/metrics': 'host:port' or 'unix:/path'; port 0 is any free one, which the log names"`
	AdminPublic   bool               `env:"ADMIN_PUBLIC" envDefault:"false" doc:"let 'PUSHGATE_ADMIN_LISTEN' be an address that others than this machine reach"`
	Drain         time.Duration      `env:"DRAIN" envDefault:"10s" doc:"window over which sessions are told to go when the program leaves"`
	ID            string             `env:"ID" default:"host name and process number" doc:"name of this process, which no other edge or publisher has"`
	LogLevel      slog.Level         `env:"LOG_LEVEL" envDefault:"info" doc:"'debug', 'info', 'warn' or 'error'"`
	LogFormat     string             `env:"LOG_FORMAT" envDefault:"json" doc:"'json' or 'text'"`

	signer *channel.Signer // made of Keys and SignatureAlgo; nil if there are no keys
	limits portal.Limits   // of portals that have none of their own
}

// Edge is the environment of an edge. A loaded one is complete and within bounds.
type Edge struct {
	Common
	Listen         string        `env:"LISTEN" envDefault:"127.0.0.1:8010" doc:"address that the program serves: 'host:port' or 'unix:/path'"`
	PollTimeout    time.Duration `env:"POLL_TIMEOUT" envDefault:"40s" doc:"how long a long poll rests before it is answered with nothing"`
	PingInterval   time.Duration `env:"PING_INTERVAL" envDefault:"25s" doc:"time between pings on a WebSocket, which is dead after two without an answer"`
	MaxConnections int           `env:"MAX_CONNECTIONS_PER_CHANNEL" envDefault:"100" doc:"connections of one user that the program holds, told apart by public id: beyond it the oldest must go; '0' is no limit"`
	Connections    int           `env:"MAX_CONNECTIONS" envDefault:"0" doc:"connections that the program holds; beyond it the answer is 503, and nginx tries another edge. '0' is nine tenths of the descriptors that it may open"`
	MaxMemory      int64         `env:"MAX_MEMORY" envDefault:"0" doc:"bytes of memory that the program may take: when three quarters are in use it answers 503. '0' is 'GOMEMLIMIT', and no limit without that"`
	Rebalance      int           `env:"REBALANCE" envDefault:"0" doc:"percentage of its WebSockets that the program asks to reconnect in a minute, while it has more of them than the other edges: after a restart they become even again. '0' is none"`
	RecentBytes    int           `env:"RECENT_BYTES" envDefault:"8388608" doc:"bytes of the newest messages that the program keeps, so that clients that come back soon do not make it read Redis; '0' keeps none"`
	Handover       string        `env:"HANDOVER" default:"none" doc:"unix socket, as an absolute path, at which an edge that is started later with the same settings takes over listeners and WebSockets, after which this one ends; Linux only"`
	Origins        Origins       `env:"ORIGINS" envDefault:"*" doc:"hosts of the pages that may subscribe, separated by commas, such as '*.example.com'; '*' is any"`
}

// Publisher is the environment of a publisher. A loaded one is complete and within bounds.
type Publisher struct {
	Common
	Listen string        `env:"LISTEN" envDefault:"127.0.0.1:9010" doc:"address that the program serves: 'host:port' or 'unix:/path'"`
	Allow  Networks      `env:"PUBLISH_ALLOW" envDefault:"127.0.0.0/8,::1/128" doc:"networks that post without a signature; unix sockets count as loopback"`
	Window time.Duration `env:"SIGNATURE_WINDOW" envDefault:"0" doc:"demand that signatures of posts and questions name a time at most so far from now, which PHP portals cannot; '0' leaves it to who signs"`
	Hosts  Origins       `env:"HOSTS" default:"any" doc:"names by which the program may be asked, as the 'Host' header has them, without ports and separated by commas, such as 'push.example.com'; addresses and 'localhost' always may. It keeps pages whose name was made to resolve to this machine from reading statistics"`
	Signed bool          `env:"PUBLISH_SIGNED" envDefault:"false" doc:"demand a signature of every post, wherever it comes from"`
}

// LoadEdge reads the environment of an edge, in the form of [os.Environ]. Every error is [Faults].
func LoadEdge(environ []string) (Edge, error) {
	l := newLoader(environ)
	e := parse[Edge](l)
	l.common(&e.Common)
	l.address("LISTEN", e.Listen)
	within(l, "POLL_TIMEOUT", e.PollTimeout, 100*time.Millisecond, time.Hour)
	within(l, "PING_INTERVAL", e.PingInterval, 100*time.Millisecond, time.Hour)
	within(l, "MAX_CONNECTIONS_PER_CHANNEL", e.MaxConnections, 0, maxConnections)
	within(l, "MAX_CONNECTIONS", e.Connections, 0, 100*maxConnections)
	within(l, "MAX_MEMORY", e.MaxMemory, 0, 1<<50)
	within(l, "REBALANCE", e.Rebalance, 0, 5)
	within(l, "RECENT_BYTES", e.RecentBytes, 0, 1<<40)
	if e.Handover != "" && (!filepath.IsAbs(e.Handover) || len(e.Handover) > maxSocketPath) {
		l.fault(Prefix+"HANDOVER", fmt.Sprintf("%q is no path of a socket", e.Handover), fmt.Sprintf("/run/pushgate/edge.sock: absolute, at most %d bytes", maxSocketPath))
	}
	l.portals(&e.Common, portal.Limits{Payload: e.MaxPayload, Messages: e.MaxMessages, Channels: e.MaxChannels, Connections: e.MaxConnections, Posts: e.MaxPosts})
	if err := l.faults(); err != nil {
		return Edge{}, err
	}
	return e, nil
}

// LoadPublisher reads the environment of a publisher, in the form of [os.Environ]. Every error is [Faults].
func LoadPublisher(environ []string) (Publisher, error) {
	l := newLoader(environ)
	p := parse[Publisher](l)
	l.common(&p.Common)
	l.address("LISTEN", p.Listen)
	if p.Window != 0 {
		within(l, "SIGNATURE_WINDOW", p.Window, time.Second, maxWindow)
	}
	l.portals(&p.Common, portal.Limits{Payload: p.MaxPayload, Messages: p.MaxMessages, Channels: p.MaxChannels, Posts: p.MaxPosts})
	if err := l.faults(); err != nil {
		return Publisher{}, err
	}
	return p, nil
}
