package adopt

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pushgate/internal/adopt/nginxconf"
	"pushgate/internal/original"
)

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// planCompose plans an override file that replaces the original's services by pushgate's.
func (p *plan) planCompose() {
	networks := p.networks()
	p.allow = []string{"127.0.0.0/8"}
	for _, subnet := range p.subnets {
		if _, err := netip.ParsePrefix(subnet.value); err == nil {
			p.allow = append(p.allow, subnet.value)
		}
	}
	if len(p.allow) == 1 {
		p.allow = append(p.allow, "172.16.0.0/12", "192.168.0.0/16") // where Docker makes networks
	}
	p.env = append([]string{"PUSHGATE_REDIS_URL=redis://push-redis:6379/0", "PUSHGATE_LOG_FORMAT=text",
		"PUSHGATE_PUBLISH_ALLOW=" + strings.Join(p.allow, ",")}, p.env...)
	p.add("pushgate.env", strings.Join(p.env, "\n")+"\n")
	p.addSecret("secret.env", "PUSHGATE_KEYS="+strings.Join(p.keys, ",")+"\n")

	var b strings.Builder
	b.WriteString("# Read after the compose file that is there: docker compose -f THAT -f THIS up -d\nservices:\n")
	fmt.Fprintf(&b, `  push-redis:
    image: redis:7.4-alpine
    command: ["redis-server", "--appendonly", "yes", "--save", "", "--maxmemory", "512mb", "--maxmemory-policy", "noeviction"]
    restart: unless-stopped
    volumes: ["push_redis:/data"]
%s`, networks)
	p.runs = append(p.runs, "push-redis: a Redis of pushgate's own (noeviction, append-only file, a volume). One that is there stays as it is.")
	if len(p.contained) > 0 {
		p.splitContained(&b, networks)
	} else {
		for _, one := range append(slices.Clone(p.edges), p.publishers...) {
			more := ""
			for _, v := range p.services {
				if v.name != one.name {
					continue
				}
				if v.builds {
					more += "    build: !reset null\n"
				}
				if one.role == original.Publisher && slices.ContainsFunc(v.ports, published) {
					more += portsOf(one.role, v.ports, "!override ")
				}
			}
			p.composeService(&b, one, more)
		}
	}
	b.WriteString("volumes:\n  push_redis: {}\n")
	p.add("compose.pushgate.yml", b.String())
	p.runs = append(p.runs, "Posts without a signature are accepted from "+strings.Join(p.allow, ", ")+".")
	if len(p.publishers) > 0 {
		p.publish = fmt.Sprintf("http://%s:%d", p.name(p.publishers[0]), p.publishers[0].ports[0])
		if p.publishers[0].ports[0] == 80 {
			p.publish = strings.TrimSuffix(p.publish, ":80")
		}
	}
}

// networks returns the networks of the original's services, as lines of compose.
func (p *plan) networks() string {
	var all []string
	for _, v := range p.services {
		ours := slices.ContainsFunc(p.processes, func(one process) bool { return one.name == v.name }) ||
			slices.ContainsFunc(p.contained, func(one service) bool { return one.name == v.name })
		for _, name := range v.networks {
			if ours && !slices.Contains(all, name) && serviceName.MatchString(name) {
				all = append(all, name)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "    networks: [" + strings.Join(all, ", ") + "]\n"
}

// composeService writes one service. More is what only some have.
func (p *plan) composeService(b *strings.Builder, one process, more string) {
	port := one.ports[0]
	fmt.Fprintf(b, `  %s:
    image: pushgate
    entrypoint: ["/%s"]
    command: []
    env_file: !override [%q, %q]
    environment: !override
      PUSHGATE_LISTEN: "0.0.0.0:%d"
    depends_on: !override [push-redis]
    volumes: !override []
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: 30s
    ulimits: { nofile: 65536 }
%s`, one.name, one.role, p.out+"/pushgate.env", p.out+"/secret.env", port, more)
	p.runs = append(p.runs, fmt.Sprintf("%s: the %s on port %d, instead of the original.", one.name, one.role, port))
}

// splitContained plans two services in the place of one that runs all of the original.
func (p *plan) splitContained(b *strings.Builder, networks string) {
	v := p.contained[0]
	var edges, publishers []process
	for _, c := range []struct {
		name string
		all  []process
		list *[]process
	}{{"push-edge", p.edges, &edges}, {"push-publisher", p.publishers, &publishers}} {
		var mappings []string
		for _, one := range c.all {
			for _, port := range one.ports {
				for _, mapping := range v.ports {
					if strings.HasSuffix(mapping, ":"+strconv.Itoa(port)) || mapping == strconv.Itoa(port) {
						mappings = append(mappings, mapping)
					}
				}
			}
		}
		if len(c.all) > 0 {
			one := process{name: c.name, role: c.all[0].role, ports: c.all[0].ports[:1], at: c.all[0].at}
			p.composeService(b, one, portsOf(one.role, mappings, "")+networks)
			*c.list = []process{one}
		}
	}
	fmt.Fprintf(b, "  %s:\n    profiles: [original] # it does not start any more\n    ports: !reset []\n", v.name)
	for _, old := range []struct{ was, is []process }{{p.edges, edges}, {p.publishers, publishers}} {
		if was := ports(old.was); len(was) > 1 {
			p.runs = append(p.runs, fmt.Sprintf("One %s serves what %d processes of the original did on %s; nginx needs port %d only.", old.is[0].role, len(was), portList(was), was[0]))
		}
	}
	p.edges, p.publishers = edges, publishers
	p.runs = append(p.runs, "service "+v.name+" does not start any more.")
}

// portsOf returns the ports of a service, as lines of compose, if it has any. Those of a publisher
// are for this machine alone.
func portsOf(role original.Role, mappings []string, tag string) string {
	if len(mappings) == 0 {
		return ""
	}
	text := strings.TrimSuffix("    ports: "+tag, " ") + "\n"
	for _, mapping := range mappings {
		if role == original.Publisher {
			mapping = onlyHere(mapping)
		}
		text += fmt.Sprintf("      - %q\n", mapping)
	}
	return text
}

// published reports whether other machines reach a port that compose publishes: unless the mapping
// has an address, Docker opens it in the firewall.
func published(mapping string) bool {
	parts := strings.Split(mapping, ":")
	return len(parts) < 3 || nginxconf.Reachable(strings.Join(parts[:len(parts)-2], ":"))
}

// onlyHere returns the mapping of a publisher's port that this machine alone reaches.
func onlyHere(mapping string) string {
	if !published(mapping) {
		return mapping
	}
	parts := strings.Split(mapping, ":")
	parts = parts[max(0, len(parts)-2):]
	if len(parts) == 1 {
		return "127.0.0.1::" + parts[0]
	}
	return "127.0.0.1:" + strings.Join(parts, ":")
}

// judgePorts notes publishers that other machines reach.
func (p *plan) judgePorts() {
	for _, one := range p.publishers {
		for _, v := range p.services {
			contained := slices.ContainsFunc(p.contained, func(c service) bool { return c.name == v.name })
			for _, mapping := range v.ports {
				parts := strings.Split(mapping, ":")
				inside, _, _ := strings.Cut(parts[len(parts)-1], "/")
				first, last, ranged := strings.Cut(inside, "-")
				if !ranged {
					last = first
				}
				ours := func(port int) bool { return number(first) <= port && port <= number(last) }
				if (v.name == one.name || contained) && published(mapping) && slices.ContainsFunc(one.ports, ours) {
					p.wrong(v.portsAt, "service "+v.name+" publishes the publisher's port ("+mapping+") on every address of this machine",
						"what comes to such a port over Docker's own proxy, as all of IPv6 often does, comes from a private network: everybody can post as the portal",
						"this plan publishes it for this machine only. If the portal is on another one, name the address in its network")
				}
			}
		}
	}
}

// planKubernetes plans manifests beside those that are there.
func (p *plan) planKubernetes() {
	p.allow = strings.Split(original.PrivateNetworks, ",")
	p.publish = "http://pushgate-publisher"
	var b strings.Builder
	p.env = append([]string{"PUSHGATE_REDIS_URL=redis://pushgate-redis:6379/0", "PUSHGATE_PUBLISH_ALLOW=" + strings.Join(p.allow, ",")}, p.env...)
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: pushgate }\ndata:\n")
	for _, entry := range p.env {
		name, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&b, "  %s: %q\n", name, value)
	}
	for _, c := range []struct {
		role string
		port int
	}{{"edge", 8010}, {"publisher", 9010}} {
		fmt.Fprintf(&b, deployment, c.role, c.port, c.port+10000)
		p.runs = append(p.runs, fmt.Sprintf("pushgate-%[1]s: a Deployment of two, and the Service pushgate-%[1]s on port 80.", c.role))
	}
	b.WriteString(redisSet)
	p.runs = append([]string{"pushgate-redis: a Redis of pushgate's own (noeviction, append-only file, a volume)."}, p.runs...)
	p.runs = append(p.runs, "Posts without a signature are accepted from "+strings.Join(p.allow, ", ")+".")
	p.add("kubernetes/pushgate.yaml", b.String())
	p.add("kubernetes/ingress-paths.yaml", ingressPaths)
	p.addSecret("kubernetes/secret.yaml", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: { name: pushgate }\nstringData:\n  PUSHGATE_KEYS: %q\n", strings.Join(p.keys, ",")))
	for _, list := range []*[]process{&p.edges, &p.publishers} {
		for i := range *list {
			(*list)[i].ports = []int{80}
		}
	}
}

const deployment = `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: pushgate-%[1]s }
spec:
  replicas: 2
  selector: { matchLabels: { app: pushgate-%[1]s } }
  template:
    metadata: { labels: { app: pushgate-%[1]s } }
    spec:
      enableServiceLinks: false # variables such as PUSHGATE_EDGE_PORT would be refused
      terminationGracePeriodSeconds: 60
      containers:
        - name: %[1]s
          image: pushgate
          command: ["/%[1]s"]
          env:
            - { name: PUSHGATE_LISTEN, value: "0.0.0.0:%[2]d" }
            - { name: PUSHGATE_ADMIN_LISTEN, value: "0.0.0.0:%[3]d" }
            - { name: PUSHGATE_ADMIN_PUBLIC, value: "true" }
          envFrom: [{ configMapRef: { name: pushgate } }, { secretRef: { name: pushgate } }]
          ports: [{ containerPort: %[2]d }]
          readinessProbe: { httpGet: { path: /readyz, port: %[3]d } }
          livenessProbe: { httpGet: { path: /livez, port: %[3]d } }
          securityContext: { runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
---
apiVersion: v1
kind: Service
metadata: { name: pushgate-%[1]s }
spec:
  selector: { app: pushgate-%[1]s }
  ports: [{ port: 80, targetPort: %[2]d }]
`

const redisSet = `---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: pushgate-redis }
spec:
  serviceName: pushgate-redis
  selector: { matchLabels: { app: pushgate-redis } }
  template:
    metadata: { labels: { app: pushgate-redis } }
    spec:
      containers:
        - name: redis
          image: redis:7.4-alpine
          args: ["--appendonly", "yes", "--save", "", "--maxmemory", "512mb", "--maxmemory-policy", "noeviction"]
          ports: [{ containerPort: 6379 }]
          volumeMounts: [{ name: data, mountPath: /data }]
  volumeClaimTemplates:
    - metadata: { name: data }
      spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 2Gi } } }
---
apiVersion: v1
kind: Service
metadata: { name: pushgate-redis }
spec:
  selector: { app: pushgate-redis }
  ports: [{ port: 6379 }]
---
# It has no password.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: pushgate-redis }
spec:
  podSelector: { matchLabels: { app: pushgate-redis } }
  policyTypes: [Ingress]
  ingress:
    - ports: [{ port: 6379 }]
      from:
        - podSelector: { matchExpressions: [{ key: app, operator: In, values: [pushgate-edge, pushgate-publisher] }] }
`

// ingressPaths are for the rule of the portal's host.
const ingressPaths = `# In the Ingress, below spec.rules[].http.paths of the portal's host. There is none for /bitrix/pub/.
- { path: /bitrix/sub/, pathType: Prefix, backend: { service: { name: pushgate-edge, port: { number: 80 } } } }
- { path: /bitrix/subws/, pathType: Prefix, backend: { service: { name: pushgate-edge, port: { number: 80 } } } }
- { path: /bitrix/sse/, pathType: Prefix, backend: { service: { name: pushgate-edge, port: { number: 80 } } } }
- { path: /bitrix/rest/, pathType: Prefix, backend: { service: { name: pushgate-publisher, port: { number: 80 } } } }
- { path: /bitrix/api/, pathType: Prefix, backend: { service: { name: pushgate-publisher, port: { number: 80 } } } }
`
