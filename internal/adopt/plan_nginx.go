package adopt

import (
	"fmt"
	"slices"
	"strings"

	"pushgate/nginx"
)

// planNginx plans what changes in nginx, or in the Ingress.
func (p *plan) planNginx() {
	step := func(format string, args ...any) { p.nginxSteps = append(p.nginxSteps, fmt.Sprintf(format, args...)) }
	for _, l := range p.nginx.locations {
		if strings.TrimSuffix(l.path, "/") == "/bitrix/pub" && l.public && !l.guarded {
			step("%s: remove /bitrix/pub/.", l.at)
		}
		if strings.HasPrefix(l.path, "/push-server-") && !l.rewritten {
			step("%s: remove %s.", l.at, l.path)
		}
	}
	if p.kind == kubernetes {
		if len(p.nginx.locations) > 0 {
			step("Put the paths of %s/kubernetes/ingress-paths.yaml into the Ingress, instead of those that are there.", p.out)
		}
		return
	}
	for _, u := range p.nginx.upstreams {
		if u.ipHash.line > 0 && p.pushUpstream(u) {
			step("%s: replace ip_hash by least_conn.", u.ipHash)
		}
	}
	for _, at := range p.nginx.open {
		step("%s: listen 127.0.0.1:8895, if all portals are on this machine; else the address in their network.", at)
	}
	rpc := slices.ContainsFunc(p.portals, func(one portal) bool { return one.options["path_to_json_rpc"].value != "" })
	var include []string
	if len(p.missing) > 0 {
		include = []string{"sub.conf", "rest.conf"}
	}
	if rpc && !p.hasAPI && p.kind == machine {
		include = append(include, "api.conf")
	}
	if len(include) == 0 {
		if len(p.nginxSteps) == 0 {
			step("Nothing: it finds pushgate where the original was.")
		}
		return
	}
	p.nginxFiles(include)
	step("Copy %s/nginx/pushgate/ beside nginx.conf. In the http block: include pushgate/http.conf;", p.out)
	step("In the portal's server block: include pushgate/%s;", strings.Join(include, "; include pushgate/"))
	if slices.Contains(include, "api.conf") {
		step("In the portal's own server block for posts (port 8895): include pushgate/api.conf;")
	}
}

// nginxFiles adds the files to include, in the folder by which they name each other.
func (p *plan) nginxFiles(include []string) {
	http := "include pushgate/log.conf;\ninclude pushgate/upstreams.conf;\n"
	files := append([]string{"proxy.conf", "log.conf"}, include...)
	if !p.defines("$connection_upgrade") {
		files, http = append(files, "maps.conf"), "include pushgate/maps.conf;\n"+http
	}
	for _, name := range files {
		text, _ := nginx.Files.ReadFile("pushgate/" + name) // it is embedded
		p.add("nginx/pushgate/"+name, string(text))
	}
	p.add("nginx/pushgate/http.conf", http)
	var b strings.Builder
	for _, u := range []struct {
		name  string
		where []string
		keep  string // as in upstreams.conf, which has the reasons
	}{{"pushgate_edges", p.where(p.edges), "30s"}, {"pushgate_publishers", p.where(p.publishers), "2s"}} {
		fmt.Fprintf(&b, "upstream %s {\n    zone %s 256k;\n    least_conn;\n", u.name, u.name)
		for _, address := range u.where {
			fmt.Fprintf(&b, "    server %s max_fails=1 fail_timeout=1s;\n", address)
		}
		fmt.Fprintf(&b, "    keepalive 64;\n    keepalive_requests 10000;\n    keepalive_timeout %s;\n}\n", u.keep)
	}
	p.add("nginx/pushgate/upstreams.conf", b.String())
}

// defines reports whether nginx's configuration has a map for a variable.
func (p *plan) defines(variable string) bool {
	for _, directives := range p.nginx.files {
		for _, d := range directives {
			if d.Name == "map" && d.Arg(1) == variable {
				return true
			}
			for _, inside := range d.Block {
				if inside.Name == "map" && inside.Arg(1) == variable {
					return true
				}
			}
		}
	}
	return false
}
