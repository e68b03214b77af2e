package adopt

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// readManifest reads manifests of Kubernetes, and the values of a chart: wherever there is an
// environment with the original's variables, there is a process of it.
func (s *survey) readManifest(name string, text []byte) {
	if s.kind != kubernetes {
		return
	}
	if bytes.Contains(text, []byte("{{")) {
		s.drop(place{file: name}, "a template, which is not read. Read what \"helm template\" prints instead, if it matters")
		return
	}
	for _, doc := range s.parseYAML(name, text) {
		s.manifest(name, "", doc, maxDepth*2)
	}
}

// manifest looks for environments and paths below a node. owner is the name of what it belongs to.
func (s *survey) manifest(file, owner string, node *yaml.Node, depth int) {
	node = resolve(node)
	if node == nil || depth == 0 {
		return
	}
	if _, name := child(node, "name"); text(name) != "" {
		owner = text(name)
	}
	for _, field := range []string{"env", "environment"} {
		if key, env := child(node, field); env != nil {
			s.podEnv(file, owner, key, env)
		}
	}
	if key, value := child(node, "path"); ourPath.MatchString(text(value)) {
		at := place{file, key.Line}
		s.note(at, "the Ingress has the path %s", text(value))
		s.nginx.locations = append(s.nginx.locations, location{at: at, path: ourPath.FindString(text(value)), public: true})
	}
	switch node.Kind {
	case yaml.SequenceNode:
		for _, item := range node.Content {
			s.manifest(file, owner, item, depth-1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			next := owner
			if next == "" || node.Content[i+1].Kind == yaml.MappingNode && node.Content[i].Value != "env" && !generic[node.Content[i].Value] {
				next = node.Content[i].Value
			}
			s.manifest(file, next, node.Content[i+1], depth-1)
		}
	}
}

// generic are keys of manifests that name nothing.
var generic = map[string]bool{"metadata": true, "spec": true, "template": true, "containers": true, "data": true, "http": true, "backend": true, "service": true}

// podEnv reads an environment: a mapping, or the list of Kubernetes.
func (s *survey) podEnv(file, owner string, key, env *yaml.Node) {
	var environ []string
	at := map[string]place{}
	add := func(name, value string, line int) {
		environ = append(environ, name+"="+value)
		at[name] = place{file, line}
	}
	pairs(env, func(key, value *yaml.Node) { add(key.Value, text(value), key.Line) })
	if env.Kind == yaml.SequenceNode {
		for _, item := range env.Content {
			if _, name := child(item, "name"); name != nil {
				_, value := child(item, "value")
				add(text(name), text(value), name.Line)
			}
		}
	}
	if _, ok := at["MODE"]; !ok && at["PUSH_SUB_MODE"].line+at["PUSH_PUB_MODE"].line+at["PUSHROLE"].line == 0 {
		return
	}
	s.rollback[file], _ = s.load(file)
	here := place{file, key.Line}
	s.container(owner, owner, here, s.translate(here, at, environ))
}
