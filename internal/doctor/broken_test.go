package doctor

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
)

// broken is one thing that is wrong with a good installation.
type broken struct {
	name  string
	want  string // the one finding
	state State
	spoil func(*installation)
	// Whether the remedy as it is printed mends it, when a program follows it.
	mends bool
	undo  func(*installation) // of what is shared with others; nil: nothing, or the remedy
}

func nginxFaults() []broken {
	sub := func(from, to string) func(*installation) {
		return func(i *installation) { i.edit("sub.conf", from, to) }
	}
	proxy := func(from, to string) func(*installation) {
		return func(i *installation) { i.edit("proxy.conf", from, to) }
	}
	main := func(from, to string) func(*installation) {
		return func(i *installation) { i.edit("nginx.conf", from, to) }
	}
	return []broken{
		{name: "no Upgrade header", want: "nginx.upgrade", state: Error, mends: true, spoil: sub("    proxy_set_header Upgrade $replace_upgrade;\n", "")},
		{name: "Connection is closed", want: "nginx.upgrade", state: Error, mends: true, spoil: sub("proxy_set_header Connection $connection_upgrade;", `proxy_set_header Connection "";`)},
		{name: "no map of the upgrade", want: "nginx.upgrade", state: Error, spoil: func(i *installation) { i.edit("maps.conf", "    default upgrade;\n", "") }},
		{name: "HTTP/1.0", want: "nginx.http", state: Error, mends: true, spoil: proxy("proxy_http_version 1.1;", "")},
		{name: "HTTP/1.0 for polls", want: "nginx.http", state: Warning, mends: true, spoil: func(i *installation) {
			i.edit("proxy.conf", "proxy_http_version 1.1;", "")
			i.edit("sub.conf", "    proxy_set_header Upgrade $replace_upgrade;", "    proxy_http_version 1.1;\n    proxy_set_header Upgrade $replace_upgrade;")
		}},
		{name: "read time-out of 30 s", want: "nginx.timeout", state: Error, mends: true, spoil: sub("proxy_read_timeout 43800s;", "proxy_read_timeout 30;")},
		{name: "buffering", want: "nginx.buffering", state: Warning, mends: true, spoil: proxy("proxy_buffering off;", "")},
		{name: "no next edge", want: "nginx.next", state: Warning, mends: true, spoil: sub("proxy_next_upstream error timeout http_502 http_503;", "")},
		{name: "posts are repeated", want: "nginx.repeat", state: Warning, mends: true, spoil: func(i *installation) {
			i.edit("pub.conf", "proxy_next_upstream error timeout;", "proxy_next_upstream error timeout non_idempotent;")
		}},
		{name: "small posts only", want: "nginx.body", state: Warning, mends: true, spoil: func(i *installation) { i.edit("pub.conf", "client_max_body_size 4m;", "client_max_body_size 512k;") }},
		{name: "public posts", want: "nginx.publish", state: Error, spoil: func(i *installation) {
			i.edit("nginx.conf", "listen 127.0.0.1:8893 backlog=4096;", "listen 443 ssl; include pushgate/pub.conf;")
		}},
		{name: "posts on all addresses", want: "nginx.publish", state: Error, spoil: main("listen 127.0.0.1:8895;", "listen 8895;")},
		{name: "addresses in the log", want: "nginx.log", state: Warning, mends: true, spoil: proxy("access_log /var/log/nginx/pushgate.log pushgate if=$pushgate_trouble;", "access_log /var/log/nginx/access.log;")},
		{name: "format of the log", want: "nginx.log", state: Warning, mends: true, spoil: func(i *installation) { i.edit("log.conf", "$request_method $uri", "$request") }},
		{name: "ip_hash", want: "nginx.iphash", state: Warning, mends: true, spoil: func(i *installation) { i.edit("upstreams.conf", "    least_conn;", "    ip_hash;") }},
		{name: "few connections", want: "nginx.connections", state: Warning, mends: true, spoil: main("worker_connections 32768;", "worker_connections 1024;")},
		{name: "connections by default", want: "nginx.connections", state: Warning, spoil: main("    worker_connections 32768; # two for each client\n", "")},
		{name: "few descriptors", want: "nginx.descriptors", state: Warning, mends: true, spoil: main("worker_rlimit_nofile 65536;", "worker_rlimit_nofile 1024;")},
		{name: "few descriptors of the worker that runs", want: "nginx.descriptors", state: Warning, spoil: func(i *installation) {
			i.edit("nginx.conf", "worker_rlimit_nofile 65536;", "")
			i.files["proc/70/comm"], i.files["proc/70/cmdline"] = "nginx\n", "nginx: worker process\x00"
			i.files["proc/70/limits"] = "Limit Soft Hard Units\nMax open files            1024                 524288               files\n"
		}},
		{name: "an edge is down", want: "nginx.upstreams", state: Warning, spoil: func(i *installation) {
			i.edit("upstreams.conf", "    least_conn;", "    least_conn; server 127.0.0.1:1;")
		}},
		{name: "no publisher answers", want: "nginx.upstreams", state: Error, spoil: func(i *installation) {
			for _, s := range i.servers[2:] {
				i.edit("upstreams.conf", s.Listener.Addr().String(), "127.0.0.1:1")
			}
		}},
		{name: "a file is missing", want: "nginx.config", state: Warning, spoil: main("include pushgate/log.conf;", "include pushgate/log.conf; include pushgate/other.conf;")},
		{name: "no location for clients' messages", want: "nginx.rest", state: Warning, mends: true, spoil: main("        include pushgate/rest.conf;\n", "")},
		{name: "no location for WebSockets", want: "nginx.websockets", state: Error, spoil: sub("location ~* ^(/bitrix)?/subws(/|$)", "location ~* ^/push(/|$)")},
		{name: "no location for polls", want: "nginx.polls", state: Error, spoil: sub("(sub|sse)", "(sse)")},
	}
}

func redisFaults(t *testing.T) []broken {
	set := func(words ...string) func(*installation) {
		return func(i *installation) { i.redis.Must(append([]string{"CONFIG", "SET"}, words...)...) }
	}
	return []broken{
		{name: "eviction", want: "redis.eviction", state: Error, mends: true, spoil: set("maxmemory-policy", "allkeys-lru")},
		{name: "no file and no replica", want: "redis.persistence", state: Error, mends: true, spoil: set("appendonly", "no")},
		{name: "small output buffer", want: "redis.buffer", state: Warning, mends: true, spoil: set("client-output-buffer-limit", "pubsub 1mb 256kb 10")},
		{name: "no limit of memory", want: "redis.limit", state: Warning, mends: true, spoil: set("maxmemory", "0")},
		{name: "nearly full", want: "redis.memory", state: Error, mends: true, spoil: set("maxmemory", "500kb")},
		{name: "another program's data", want: "redis.shared", state: Warning, spoil: func(i *installation) { database(i, 3).Set(t.Context(), "cache", "1", 0) },
			undo: func(i *installation) { database(i, 3).FlushDB(t.Context()) }},
		{name: "evicted", want: "redis.evicted", state: Error, mends: true, spoil: func(i *installation) {
			db := database(i, 0)
			db.Set(t.Context(), "a", strings.Repeat("x", 1<<20), 0)
			for _, pair := range [][2]string{{"maxmemory-policy", "allkeys-lru"}, {"maxmemory", "1"}} {
				db.ConfigSet(t.Context(), pair[0], pair[1])
			}
			db.Set(t.Context(), "b", "1", 0)
			for _, pair := range [][2]string{{"maxmemory", "256mb"}, {"maxmemory-policy", "noeviction"}} {
				db.ConfigSet(t.Context(), pair[0], pair[1])
			}
		}},
		{name: "huge pages", want: "redis.thp", state: Warning, mends: true, spoil: func(i *installation) {
			i.files["sys/kernel/mm/transparent_hugepage/enabled"] = "[always] madvise never\n"
		}},
		{name: "away", want: "redis.answers", state: Error, spoil: func(i *installation) { i.env["PUSHGATE_REDIS_URL"] = "redis://127.0.0.1:1" }},
		{name: "never answers", want: "redis.answers", state: Error, spoil: func(i *installation) {
			link := faulty.Start(i.t, i.redis.Addr())
			link.Stall()
			i.env["PUSHGATE_REDIS_URL"] = "redis://" + link.Addr()
		}},
		{name: "slow", want: "redis.latency", state: Warning, spoil: func(i *installation) {
			link := faulty.Start(i.t, i.redis.Addr())
			link.Delay(30 * time.Millisecond)
			i.env["PUSHGATE_REDIS_URL"] = "redis://" + link.Addr()
		}},
	}
}

// database returns a client of one of the databases of Redis.
func database(i *installation, number int) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: i.redis.Addr(), DB: number})
	i.t.Cleanup(func() { client.Close() })
	return client
}

func machineFaults() []broken {
	file := func(name, text string) func(*installation) {
		return func(i *installation) { i.files[name] = text + "\n" }
	}
	return []broken{
		{name: "few ports", want: "machine.ports", state: Warning, mends: true, spoil: file("proc/sys/net/ipv4/ip_local_port_range", "50000 60999")},
		{name: "ports clash", want: "machine.portclash", state: Warning, mends: true, spoil: file("proc/sys/net/ipv4/ip_local_port_range", "1024 65535")},
		{name: "short queue", want: "machine.somaxconn", state: Warning, mends: true, spoil: file("proc/sys/net/core/somaxconn", "128")},
		{name: "few handshakes", want: "machine.handshakes", state: Warning, mends: true, spoil: file("proc/sys/net/ipv4/tcp_max_syn_backlog", "128")},
		{name: "the firewall's table is full", want: "machine.conntrack", state: Error, mends: true, spoil: file("proc/sys/net/netfilter/nf_conntrack_count", "65000")},
		{name: "sockets have the memory", want: "machine.tcpmem", state: Error, spoil: file("proc/net/sockstat", "TCP: inuse 10 orphan 0 tw 0 alloc 12 mem 2900")},
		{name: "another program on our port", want: "others.ports", state: Error, spoil: file("proc/100/comm", "python3")},
		{name: "the original runs", want: "others.original", state: Warning, spoil: func(i *installation) {
			i.files["proc/50/comm"], i.files["proc/50/cmdline"] = "node\n", "node\x00/opt/push-server/server.js\x00--config\x00/etc/push-server/push-server-sub-8010.json\x00"
		}},
		{name: "a rotation restarts", want: "others.logrotate", state: Error,
			spoil: file("etc/logrotate.d/push-server", "/var/log/push-server/*.log {\n postrotate\n  /bin/systemctl restart push-server.service\n endscript\n}")},
	}
}

func processFaults() []broken {
	metric := func(n int, from, to string) func(*installation) {
		return func(i *installation) {
			if !strings.Contains(i.admins[n].metrics, from) {
				i.t.Fatal(from)
			}
			i.admins[n].metrics = strings.Replace(i.admins[n].metrics, from, to, 1)
		}
	}
	return []broken{
		{name: "not ready", want: "processes.ready", state: Error, spoil: func(i *installation) { i.admins[1].status = http.StatusServiceUnavailable }},
		{name: "away", want: "processes.ready", state: Error, spoil: func(i *installation) { i.admins[1].server.Close() }},
		{name: "two builds", want: "processes.versions", state: Warning, spoil: metric(0, `version="v1"`, `version="v2"`)},
		{name: "two commits", want: "processes.versions", state: Warning, spoil: metric(0, `commit="abc"`, `commit="abd"`)},
		{name: "a wrong clock", want: "processes.clock", state: Warning, spoil: func(i *installation) {
			i.admins[0].date = time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
		}},
		{name: "few descriptors", want: "processes.descriptors", state: Warning, spoil: metric(2, "process_max_fds 65536", "process_max_fds 1024")},
		{name: "all descriptors in use", want: "processes.descriptors", state: Error, spoil: metric(0, "process_open_fds 20", "process_open_fds 60000")},
		{name: "messages were lost", want: "processes.lost", state: Warning, spoil: metric(0, "pushgate_gaps_total 0", "pushgate_gaps_total 2")},
		{name: "posts are refused", want: "processes.posts", state: Error, spoil: metric(2, "pushgate_published_total 5", "pushgate_published_total 0")},
		{name: "no publisher", want: "processes.found", state: Error, spoil: func(i *installation) { i.admins = i.admins[:2] }},
		{name: "more clients than connections", want: "nginx.connections", state: Error, spoil: metric(0, `{transport="websocket"} 10`, `{transport="websocket"} 900000`)},
	}
}

func keyFaults() []broken {
	signed := func(algorithm string, secret []byte) string {
		s, err := sign.New(algorithm, secret)
		if err != nil {
			panic(err)
		}
		return s.Sign(channel.Ref{Private: testkit.Channel(1)}).String()
	}
	decoded := []byte("0123456789abcdef0123")
	return []broken{
		{name: "another key", want: "keys.sample", state: Error, spoil: func(i *installation) { i.sample = signed("sha1", []byte("of another portal, it seems")) }},
		{name: "another algorithm", want: "keys.algorithm", state: Error, spoil: func(i *installation) { i.sample = signed("sha256", []byte(key)) }},
		{name: "base64", want: "keys.encoding", state: Error, spoil: func(i *installation) {
			i.env["PUSHGATE_KEYS"] = base64.StdEncoding.EncodeToString(decoded)
			i.sample = "https://portal.example.com/bitrix/subws/?revision=19&CHANNEL_ID=" + signed("sha1", decoded)
		}},
		{name: "hexadecimal", want: "keys.encoding", state: Error, spoil: func(i *installation) {
			i.env["PUSHGATE_KEYS"], i.sample = hex.EncodeToString(decoded), signed("sha1", decoded)
		}},
		{name: "a post of another portal", want: "keys.sample", state: Error, spoil: func(i *installation) {
			mac := hmac.New(sha1.New, []byte("another key of somebody"))
			mac.Write([]byte(`{}`))
			i.body, i.sample = []byte(`{}`), "http://127.0.0.1/bitrix/pub/?signature="+hex.EncodeToString(mac.Sum(nil))
		}},
		{name: "a short key", want: "keys.short", state: Warning, spoil: func(i *installation) {
			i.env["PUSHGATE_KEYS"], i.env["PUSHGATE_ALLOW_SHORT_KEYS"] = key+",short", "true"
		}},
		{name: "a wrong setting", want: "keys.settings", state: Error, spoil: func(i *installation) { i.env["PUSHGATE_DRAIN"] = "soon" }},
	}
}

// TestBroken spoils a good installation in one way at a time. That way is found, and nothing else.
// Where the remedy is something to type, it is typed as it is printed, and then nothing is wrong.
func TestBroken(t *testing.T) {
	good := newInstallation(t)
	mended, total := 0, 0
	for group, cases := range map[string][]broken{"nginx": nginxFaults(), "Redis": redisFaults(t), "machine": machineFaults(), "processes": processFaults(), "keys": keyFaults()} {
		for _, b := range cases {
			total++
			t.Run(group+"/"+b.name, func(t *testing.T) {
				i := good.clone(t)
				b.spoil(i)
				found := i.faults()
				if len(found) != 1 || found[0].ID != b.want || found[0].State != b.state {
					t.Errorf("want %s %s, found %+v", b.want, b.state, found)
				}
				if b.undo != nil {
					b.undo(i)
				}
				if !b.mends || len(found) == 0 {
					return
				}
				mended++
				if i.follow(found[0]) == 0 {
					t.Fatalf("nothing to type in %q", texts[b.want].remedy.en)
				}
				if left := i.faults(); len(left) != 0 {
					t.Errorf("after the remedy %q: %+v", texts[b.want].remedy.en, left)
				}
			})
		}
	}
	if mended < 20 || total < 55 {
		t.Errorf("%d broken installations, %d of them mended by what is printed", total, mended)
	}
	if left := good.clone(t).faults(); len(left) != 0 {
		t.Errorf("at the end: %+v", left)
	}
}
