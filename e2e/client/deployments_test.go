package client

import (
	"os"
	"path/filepath"
	"strings"

	"pushgate/internal/testkit"
)

// deployments are the known ones, as far as they differ for a push server.
var deployments = []deployment{
	{
		name: "env-docker", version: 4, dir: "internal/adopt/testdata/env-docker", key: "env-docker-0123456789-abcdefghijklmnop",
		publish: "http://nginx/bitrix/pub/", planned: "http://push_pub:9010/bitrix/pub/", rpc: true,
		web: "nginx",
		nginx: func(r *row, s state) string {
			text := r.file("confs/nginx/inc/push.conf", s)
			if s.changed() {
				text, _, _ = strings.Cut(text, "location ~* ^/bitrix/pub/") // it is the last one
			}
			return upgradeMaps + "server { listen 80;\n" + text + "}"
		},
		installation: compose{files: []string{"docker-compose.yml"}, withEnv: []string{".env", ".env_push"}, image: "/push:", override: "env-docker.yml"},
	},
	{
		name: "bitrixdock", version: 4, dir: "internal/adopt/testdata/bitrixdock", options: "options.tsv", key: "testtesttest",
		publish: "http://bitrix.local/bitrix/pub/", planned: "http://push-server-pub:8010/bitrix/pub/",
		web: "web_server", webNames: []string{"bitrix.local"},
		nginx: func(r *row, s state) string {
			text := r.file("nginx/conf/default.conf", s)
			if s.changed() {
				text, _, _ = strings.Cut(text, "location /bitrix/pub/")
				text += "}"
			}
			return text
		},
		refused:      []string{"testtesttest", "bitrixdock", "signature_key"},
		installation: compose{files: []string{"docker-compose.yml"}, profiles: []string{"push"}, image: "bitrix-push-server", override: "bitrixdock.yml"},
	},
	{
		name: "matveynator", version: 4, dir: "internal/adopt/testdata/matveynator", options: "options.tsv", key: "eiNg0ochaeWei7Xo9uTh",
		publish: "http://push-server-pub/bitrix/pub", planned: "http://push-server-pub/bitrix/pub/",
		web: "nginx",
		// With its own locations alone no browser has ever come through.
		nginx: func(r *row, s state) string {
			text := "include pushgate/http.conf; server { listen 80; include pushgate/sub.conf; include pushgate/rest.conf;\n"
			if !s.changed() {
				_, locations, _ := strings.Cut(r.file("nginx/nginx.conf", s), "default_server;")
				return text + strings.TrimSuffix(strings.TrimSpace(locations), "}")
			}
			return text + "}"
		},
		check: func(r *row) {
			if r.now.state.changed() {
				return
			}
			for _, path := range []string{"/push-server-sub/bitrix/sub/?CHANNEL_ID=" + r.push.Signed(private(userID)), "/push-server-sub/bitrix/subws/"} {
				if status, _, err := r.push.Do(r.Context(), "GET", "http://"+r.host()+path, ""); err != nil || status != 404 {
					r.Errorf("the deployment's own path was answered %d, %v", status, err)
				}
			}
		},
		installation: compose{files: []string{"docker-compose.yml"}, image: "bitrix-push-server", override: "matveynator.yml"},
	},
	{
		name: "ikarpovich", version: 4, dir: "internal/adopt/testdata/ikarpovich", options: "options.sql", key: "quite-a-long-key-of-a-portal-7c1e",
		publish: "http://pub/bitrix/pub/", planned: "http://pub/bitrix/pub/",
		web: "web", nginx: func(r *row, _ state) string { return r.file("push.conf", asIs) },
		installation: compose{files: []string{"compose.yaml"}, image: "bitrix-push-server", override: "ikarpovich.yml",
			rename: []string{"push-server-sub", "sub", "push-server-pub", "pub"}},
	},
	{
		name: "rmn-lux", version: 3, dir: testdata + "rmn-lux", options: "options.tsv", key: "a-key-instead-of-the-default-one-4f2b",
		publish: "http://push-pub:8010/bitrix/pub/", planned: "http://push-pub:8010/bitrix/pub/",
		web: "web", nginx: func(*row, state) string { return proxied("push-sub:8010", "push-pub:8010") },
		// Without a key of one's own, its image has a published one.
		check: func(r *row) {
			if r.now.state != asAdopted {
				return
			}
			refuses(r.T, []string{"REDIS_HOST=redis", "REDIS_PORT=6379", "LISTEN_HOSTNAME=0.0.0.0", "LISTEN_PORT=8010", "MODE=sub",
				"SECURITY_KEY=IMbEDEnTANDiSPATERSIVeRptUGht"}, "IMbEDEnTANDiSPATERSIVeRptUGht", "rmn-lux", "signature_key")
		},
		installation: compose{files: []string{"docker-compose.yml"}, image: "bitrix-push-server", override: "rmn-lux.yml",
			rename: []string{"push-server-sub", "push-sub", "push-server-pub", "push-pub"}},
	},
	{
		name: "caddy", version: 4, dir: testdata + "caddy", options: "options.tsv", key: "the-key-of-a-caddy-stack-9e0d1c",
		publish: "http://caddy/bitrix/pub/", planned: "http://push-pub/bitrix/pub/",
		web: "caddy", nginx: func(_ *row, s state) string {
			text := proxied("push-sub:80", "push-pub:80")
			if !s.changed() {
				text = strings.TrimSuffix(text, "}") + "location /bitrix/pub/ { proxy_pass http://push-pub:80; } }"
			}
			return text
		},
		installation: compose{files: []string{"docker-compose.yml"}, image: "bitrix-push-server", override: "ikarpovich.yml",
			rename: []string{"push-server-sub", "push-sub", "push-server-pub", "push-pub"}},
	},
	{
		name: "awwehdev", version: 4, dir: "internal/adopt/testdata/awwehdev", key: "awwehdev-key-0123456789-0123456789",
		publish: "http://app:9010/bitrix/pub/", planned: "http://app:9010/bitrix/pub/", adopted: "http://push-publisher:9010/bitrix/pub/",
		// It calls the ports that Docker publishes, which are those of other containers then.
		web: "web", nginx: func(_ *row, s state) string {
			if s == asAdopted {
				return proxied("push-edge:8010", "push-publisher:9010")
			}
			return proxied("app:8010", "app:9010")
		},
		variables: []string{"BASE_SUB=801", "BASE_PUB=901", "ID_SUB=5", "ID_PUB=1", "WS_HOST=0.0.0.0", "WS_PORT=1337", "PUBPATH=/bitrix/pub/", "SUBPATH=/bitrix/sub/",
			"SUBWSPATH=/bitrix/subws/", "SECURITY_KEY=awwehdev-key-0123456789-0123456789", "REDIS_SOCK=/var/run/redis/redis-server.sock", "IP_LIST=10.0.0.0/8"},
		refused: []string{"BASE_SUB", "the ports 8010 to 8015", "one process for each port", "BASE_PUB", "9010 to 9011", "IP_LIST", "PUSHGATE_PUBLISH_ALLOW"},
		installation: compose{files: []string{"docker-compose.yml"}, override: "awwehdev.yml",
			rename:   []string{"push-server-pub", "push-server-pub", "push-server", "app"},
			standIns: []standIn{{"app", "edge", "0.0.0.0:8010", "127.0.0.1:9090"}, {"app", "publisher", "0.0.0.0:9010", "127.0.0.1:9091"}}},
	},
	{
		name: "vm-image", version: 4, dir: testdata + "vm-image", unread: true, key: "the-key-of-a-vm-in-a-container-77aa",
		publish: "http://push-server:9010/bitrix/pub/", planned: "http://push-server:9010/bitrix/pub/",
		web: "web", nginx: func(*row, state) string { return proxied("push-server:8010", "push-server:9010") },
		refused: []string{"LISTEN_PORT", "it is not set", "8010", "9010"},
		installation: compose{files: []string{"docker-compose.yml"}, image: "bitrixvm-push", override: "bitrixvm.yml",
			standIns: []standIn{{"push-server", "edge", "0.0.0.0:8010", "127.0.0.1:9090"}, {"push-server", "publisher", "0.0.0.0:9010", "127.0.0.1:9091"}}},
	},
	{
		name: "bitrixvm9", version: 4, dir: "internal/adopt/testdata/bitrixvm9", key: "vm9KeyOfThePortal0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl",
		publish: "http://127.0.0.1:8895/bitrix/pub/", planned: "http://127.0.0.1:8895/bitrix/pub/",
		nginx: ofMachine, installation: onMachine{listen: machine, name: "portal1", packaged: true},
	},
	{
		name: "bitrixvm7", version: 3, dir: "internal/adopt/testdata/bitrixvm7", key: "vm7KeyOfThePortal0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl",
		publish: "http://127.0.0.1:8895/bitrix/pub/", planned: "http://127.0.0.1:8895/bitrix/pub/",
		nginx: ofMachine, installation: onMachine{listen: "127.0.0.1", name: "portal7"},
	},
	{
		name: "chart", version: 4, dir: "internal/adopt/testdata/helm", key: "helm-key-0123456789-abcdefghij",
		// Its Ingress has no path for WebSockets, so that pages have long polls.
		poll:    true,
		publish: "http://bitrix-push-pub:9010/bitrix/pub/", planned: "http://push-publisher:9010/bitrix/pub/", adopted: "http://pushgate-publisher:9010/bitrix/pub/",
		web: "ingress", nginx: ingress,
		refused: []string{`"1" is not understood`},
		mend:    map[string]string{"PUSH_SUB_MODE": "sub", "PUSH_PUB_MODE": "pub"},
		check: func(r *row) {
			if !r.now.state.changed() {
				return
			}
			r.portal.webSocket = true // which the new paths let through
			page := r.portal.open(r.T, r.chromium, 2)
			r.portal.webSocket = false
			if _, err := r.push.Post(r.Context(), say(1), true, private(2)); err != nil {
				r.Error(err)
			}
			page.expectWithin(testkit.Patience, 1, 1)
			if c := page.connections()[0]; c.Status != 101 {
				r.Errorf("the new page came by %s, with status %d", c.URL.Path, c.Status)
			}
			evaluate[bool](page, "pull.stop(), true")
		},
		installation: pods{[]service{
			{name: "bitrix-push-sub", env: []string{"REDIS_ADDR=redis:6379", "REDIS_PASSWORD=a-password-of-redis", "SECURITY_KEY=helm-key-0123456789-abcdefghij",
				"LISTEN_ADDR=0.0.0.0:8010", "PUSH_SUB_MODE=1", "MODE=sub"}},
			{name: "bitrix-push-pub", env: []string{"REDIS_ADDR=redis:6379", "REDIS_PASSWORD=a-password-of-redis", "SECURITY_KEY=helm-key-0123456789-abcdefghij",
				"LISTEN_ADDR=0.0.0.0:9010", "PUSH_PUB_MODE=1", "MODE=pub"}},
		}},
	},
}

// testdata has the files of deployments that adopt's tests do not have.
const testdata = "e2e/client/testdata/deployments/"

// file returns one of the deployment's files, on the way back the one that adopt has kept.
func (r *row) file(name string, s state) string {
	path := filepath.Join(r.dir, name)
	if s == asBefore {
		path = filepath.Join(r.out, "rollback/files", name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// upgradeMaps are two maps that the vendor's nginx has in another file.
const upgradeMaps = "map $http_upgrade $connection_upgrade { default upgrade; '' close; } map $http_upgrade $replace_upgrade { default $http_upgrade; '' websocket; }\n"

// proxied is an nginx as those who made images tell people to write it.
func proxied(sub, pub string) string {
	return "upstream sub { server " + sub + "; } upstream pub { server " + pub + "; } " + upgradeMaps + `server { listen 80;
location ~ ^/bitrix/(sub|subws)/ { proxy_pass http://sub; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
location /bitrix/rest/ { proxy_pass http://pub; }
}`
}

// ofMachine is the nginx of BitrixVM.
func ofMachine(r *row, s state) string {
	upstreams, posts := r.file("etc/nginx/bx/settings/rtc-im_settings.conf", s), "8895 default_server"
	if s.changed() {
		upstreams, posts = strings.ReplaceAll(upstreams, "ip_hash;", "least_conn;"), "127.0.0.1:8895"
	}
	locations := r.file("etc/nginx/bx/conf/im_subscrider.conf", asIs) // nothing changes there
	return upstreams + "server { listen 80; listen 8893;\n" + locations + "}\nserver { listen " + posts + `;
location /server-stat { proxy_pass http://nodejs_pub; }
location /bitrix/pub/ { proxy_ignore_client_abort on; proxy_pass http://nodejs_pub; }` + locations + "location / { deny all; } }"
}

// ingress is an nginx that does what an Ingress asks for: it calls the pods themselves.
func ingress(_ *row, s state) string {
	sub, pub, paths := "bitrix-push-sub:8010", "bitrix-push-pub:9010", map[string]bool{"/bitrix/sub/": true, "/bitrix/pub/": false}
	switch s {
	case asPlanned:
		sub, pub = "push-edge:8010", "push-publisher:9010"
	case asAdopted:
		sub, pub = "pushgate-edge:8010", "pushgate-publisher:9010"
	}
	if s.changed() {
		paths = map[string]bool{"/bitrix/subws/": true, "/bitrix/sub/": true, "/bitrix/sse/": true, "/bitrix/rest/": false}
	}
	text := upgradeMaps + "server { listen 80;\n"
	for path, edge := range paths {
		to := pub
		if edge {
			to = sub
		}
		text += "location " + path + " { proxy_pass http://" + to + "; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }\n"
	}
	return text + "}"
}
