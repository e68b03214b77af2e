package adopt

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/original"
)

// service is one service of a compose file.
type service struct {
	name     string
	at       place
	image    string
	imageAt  place
	command  []string
	environ  []string         // with the variables of its env files
	lines    map[string]place // of the variables
	volumes  []string
	networks []string
	names    []string // by which others reach it
	ports    []string // that are published, in the short form
	portsAt  place
	profiles []string
	envFiles []string
	builds   bool
}

// mounts reports whether a volume of the service has a word in its source.
func (v service) mounts(word string) bool {
	return slices.ContainsFunc(v.volumes, func(volume string) bool {
		source, _, bound := strings.Cut(volume, ":")
		return bound && strings.Contains(source, word) && strings.ContainsAny(source, "./")
	})
}

// serviceName matches the names of services and networks.
var serviceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

var yamlLine = regexp.MustCompile(`line (\d+)`)

// parseYAML returns the documents of a file.
func (s *survey) parseYAML(name string, text []byte) []*yaml.Node {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var all []*yaml.Node
	for range maxEntries {
		var node yaml.Node
		err := decoder.Decode(&node)
		if err == nil {
			all = append(all, node.Content...)
			continue
		}
		if err.Error() != "EOF" {
			at := place{file: name}
			if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
				at.line, _ = strconv.Atoi(match[1])
			}
			s.unreadable(at, "this is not YAML", "correct it: \"docker compose config\" shows what is wrong")
			return nil
		}
		break
	}
	return all
}

// readCompose reads the services of a compose file, and those among them that run the original.
func (s *survey) readCompose(name string, text []byte) {
	s.rollback[name] = text
	for _, doc := range s.parseYAML(name, text) {
		_, networks := child(doc, "networks")
		pairs(networks, func(_, network *yaml.Node) {
			_, ipam := child(network, "ipam")
			_, config := child(ipam, "config")
			if config != nil {
				for _, one := range config.Content {
					if _, subnet := child(one, "subnet"); subnet != nil {
						s.subnets = append(s.subnets, setting{s.expand(subnet.Value), place{name, subnet.Line}})
					}
				}
			}
		})
		_, services := child(doc, "services")
		pairs(services, func(key, value *yaml.Node) {
			if !serviceName.MatchString(key.Value) {
				s.drop(place{name, key.Line}, "a service with a name that compose refuses")
				return
			}
			v := s.service(name, key, value)
			s.services = append(s.services, v)
			s.composeProcess(v)
		})
	}
}

// service reads one service.
func (s *survey) service(file string, key, node *yaml.Node) service {
	v := service{name: key.Value, at: place{file, key.Line}, lines: map[string]place{}}
	if _, image := child(node, "image"); image != nil {
		v.image, v.imageAt = s.expand(image.Value), place{file, image.Line}
	}
	_, command := child(node, "command")
	v.command = texts(command)
	_, volumes := child(node, "volumes")
	v.volumes = texts(volumes)
	if at, published := child(node, "ports"); published != nil && published.Kind == yaml.SequenceNode {
		v.portsAt = place{file, at.Line}
		for _, item := range published.Content {
			port := text(item)
			if _, target := child(item, "target"); target != nil {
				port = longPort(item)
			}
			v.ports = append(v.ports, s.expand(port))
		}
	}
	_, profiles := child(node, "profiles")
	v.profiles = texts(profiles)
	_, build := child(node, "build")
	v.builds = build != nil
	v.names = []string{v.name}
	for _, field := range []string{"container_name", "hostname"} {
		if _, other := child(node, field); text(other) != "" {
			v.names = append(v.names, s.expand(text(other)))
		}
	}
	_, networks := child(node, "networks")
	if networks != nil && networks.Kind == yaml.SequenceNode {
		v.networks = texts(networks)
	}
	pairs(networks, func(key, network *yaml.Node) {
		v.networks = append(v.networks, key.Value)
		_, aliases := child(network, "aliases")
		v.names = append(v.names, texts(aliases)...)
	})
	s.serviceEnv(&v, file, node)
	return v
}

// longPort returns the short form of a port that is written as a mapping.
func longPort(node *yaml.Node) string {
	field := func(name string) string { _, value := child(node, name); return text(value) }
	port := field("target")
	if protocol := field("protocol"); protocol != "" && protocol != "tcp" {
		port += "/" + protocol
	}
	if host := field("host_ip"); host != "" {
		return host + ":" + field("published") + ":" + port
	}
	if on := field("published"); on != "" {
		return on + ":" + port
	}
	return port
}

// serviceEnv reads the variables of a service: those of its env files, and then its own.
func (s *survey) serviceEnv(v *service, file string, node *yaml.Node) {
	add := func(name, value string, at place) {
		v.environ = append(v.environ, name+"="+value)
		v.lines[name] = at
	}
	_, files := child(node, "env_file")
	names := texts(files)
	if files != nil && files.Kind == yaml.SequenceNode {
		for i, one := range files.Content {
			if _, name := child(one, "path"); name != nil {
				names[i] = name.Value
			}
		}
	}
	for _, name := range names {
		name = path.Join(path.Dir(file), s.expand(name))
		v.envFiles = append(v.envFiles, name)
		for _, variable := range s.envFiles[name] {
			add(variable.Name, variable.Value, place{name, variable.Line})
		}
	}
	_, environment := child(node, "environment")
	pairs(environment, func(key, value *yaml.Node) {
		s.variable(key.Value, text(value), place{file, key.Line}, add)
	})
	if environment != nil && environment.Kind == yaml.SequenceNode {
		for _, item := range environment.Content {
			name, value, ok := strings.Cut(text(item), "=")
			if !ok {
				value = "${" + name + "}"
			}
			s.variable(name, value, place{file, item.Line}, add)
		}
	}
}

// variable adds a variable of a service. One that only refers to an env file is where that file has
// it.
func (s *survey) variable(name, value string, at place, add func(name, value string, at place)) {
	if match := reference.FindStringSubmatch(value); match != nil && match[0] == value {
		if _, from, ok := s.lookup(match[1] + match[4]); ok {
			at = from
		}
	}
	add(name, s.expand(value), at)
}

var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])([^}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)|\$\$`)

// expand puts the values of the .env files into a text, as compose does.
func (s *survey) expand(text string) string {
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		parts := reference.FindStringSubmatch(match)
		value, _, _ := s.lookup(parts[1] + parts[4])
		if value == "" && strings.HasSuffix(parts[2], "-") {
			return parts[3]
		}
		return value
	})
}

// lookup returns the value of a variable of the .env files.
func (s *survey) lookup(name string) (value string, at place, ok bool) {
	for file, vars := range s.envFiles {
		for _, v := range vars {
			if v.Name == name && (!ok || file < at.file) {
				value, at, ok = v.Value, place{file, v.Line}, true
			}
		}
	}
	if ok {
		s.referred[at.file] = true
	} else {
		s.usesEnv(".env") // where it may have been meant to be
	}
	return value, at, ok
}

// pushImage matches the images of the original.
var pushImage = regexp.MustCompile(`(?i)(push[-_]?server|push[-_]?pull|/push(:|$)|^push(:|$)|bitrix.*push)`)

// composeProcess notes the processes of the original that a service runs.
func (s *survey) composeProcess(v service) {
	if strings.Contains(v.image, "redis") {
		s.redisImage(v)
		return
	}
	looks := pushImage.MatchString(v.image) || v.mounts("push-server")
	push := looks
	own := slices.ContainsFunc(v.environ, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		push = push || original.Known(name)
		return slices.Contains([]string{"MODE", "PUSHROLE", "PUSH_SUB_MODE", "PUSH_PUB_MODE"}, name) && !strings.HasSuffix(entry, "=")
	})
	for _, name := range v.envFiles {
		if push {
			s.usesEnv(name)
		}
	}
	if !own {
		if looks {
			s.contained = append(s.contained, v)
			s.note(v.at, "service %s runs the original with settings from files", v.name)
		}
		return
	}
	s.container(v.name, "service "+v.name, v.at, s.translate(v.at, v.lines, v.environ))
}

// container notes the process of the original that a container runs, if its settings say which one
// and where it listens. title names it in the plan.
func (s *survey) container(name, title string, at place, settings original.Settings) {
	p := process{name: name, role: settings.Role, at: at}
	for _, entry := range settings.Environ {
		if address, ok := strings.CutPrefix(entry, "PUSHGATE_LISTEN="); ok {
			host, port, _ := net.SplitHostPort(address)
			p.host, p.ports = host, []int{number(port)}
		}
	}
	if len(p.ports) > 0 && p.role != original.Unset {
		s.note(at, "%s: the %s of the original on %s", title, p.role, portList(p.ports))
		s.processes = append(s.processes, p)
	}
}
