package e2e

import (
	"os"
	"strings"
)

// adoptedSite is an installation whose adoption is run, in a network of its own that has the
// addresses of its machines or containers.
type adoptedSite struct {
	hosts    map[string]string // addresses by name
	public   string            // where subscribers come
	internal string            // where the portal posts: path_to_publish, as the plan wants it
	from     string            // the address of the portal, empty for that of internal
	nginx    func(root, out string) string
}

// adoptedSites are some of the installations of internal/adopt/testdata: with the vendor's
// containers, with those of others, and on machines.
var adoptedSites = map[string]adoptedSite{
	"env-docker": {
		hosts: map[string]string{"push-redis": "172.18.0.2", "push-sub": "172.18.0.3", "push_sub": "172.18.0.3", "push-pub": "172.18.0.4", "push_pub": "172.18.0.4",
			"nginx": "172.18.0.5", "php": "172.18.0.6"},
		public: "nginx:80", internal: "push_pub:9010", from: "172.18.0.6",
		nginx: func(root, _ string) string {
			text, _ := os.ReadFile(root + "/confs/nginx/inc/push.conf")
			// The plan removes this location, which is the last one.
			kept, _, _ := strings.Cut(string(text), "location ~* ^/bitrix/pub/")
			return upgradeMaps + "server { listen nginx:80;\n" + kept + "}"
		},
	},
	"bitrixdock": {
		hosts:  map[string]string{"push-redis": "172.18.0.2", "push-server-sub": "172.18.0.10", "push-server-pub": "172.18.0.11", "php": "172.18.0.12"},
		public: "push-server-sub:8010", internal: "push-server-pub:8010", from: "172.18.0.12",
	},
	"matveynator": {
		hosts:  map[string]string{"push-redis": "172.18.0.2", "push-server-sub": "172.18.0.3", "push-server-pub": "172.18.0.4", "nginx": "172.18.0.5", "php": "172.18.0.6"},
		public: "nginx:80", internal: "push-server-pub:80", from: "172.18.0.6",
		nginx: func(_, out string) string {
			return "include " + out + "/nginx/pushgate/http.conf; server { listen nginx:80; include pushgate/sub.conf; include pushgate/rest.conf; }"
		},
	},
	"bitrixvm9": {
		hosts:  map[string]string{"portal1": "10.20.0.5"},
		public: "portal1:8893", internal: "127.0.0.1:8895",
		nginx: func(root, _ string) string {
			bx := root + "/etc/nginx/bx"
			return "include " + bx + "/settings/rtc-im_settings.conf; server { listen portal1:8893; include " + bx + "/conf/im_subscrider.conf; }" +
				"server { listen 127.0.0.1:8895; location /bitrix/pub/ { proxy_ignore_client_abort on; proxy_pass http://nodejs_pub; } }"
		},
	},
	"several-machines": {
		hosts:  map[string]string{"push1": "10.20.0.9", "web2": "10.20.0.6"},
		public: "push1:8013", internal: "push1:9010", from: "10.20.0.6",
	},
}

// upgradeMaps are two maps that the vendor's nginx has in another file.
const upgradeMaps = "map $http_upgrade $connection_upgrade { default upgrade; '' close; } map $http_upgrade $replace_upgrade { default $http_upgrade; '' websocket; }\n"
