package adopt

import (
	"go.yaml.in/yaml/v3"
)

// child returns the key and the value of a mapping, also one that is merged into it. Both are nil
// if there is none.
func child(node *yaml.Node, name string) (key, value *yaml.Node) {
	return childWithin(node, name, maxDepth)
}

func childWithin(node *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	node = resolve(node)
	if node == nil || node.Kind != yaml.MappingNode || depth == 0 {
		return nil, nil
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], resolve(node.Content[i+1])
		}
		if node.Content[i].Tag == "!!merge" || node.Content[i].Value == "<<" {
			if from := resolve(node.Content[i+1]); from != nil && from.Kind == yaml.SequenceNode {
				merged = append(merged, from.Content...)
			} else {
				merged = append(merged, from)
			}
		}
	}
	for _, from := range merged {
		if key, value := childWithin(from, name, depth-1); key != nil {
			return key, value
		}
	}
	return nil, nil
}

// resolve follows an alias.
func resolve(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// text returns the value of a scalar, empty for anything else.
func text(node *yaml.Node) string {
	if node = resolve(node); node != nil && node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		return node.Value
	}
	return ""
}

// texts returns the values of a list of scalars, or of a single one.
func texts(node *yaml.Node) []string {
	node = resolve(node)
	if node == nil {
		return nil
	}
	if node.Kind == yaml.ScalarNode {
		return []string{node.Value}
	}
	var all []string
	for _, item := range node.Content {
		if node.Kind == yaml.SequenceNode {
			all = append(all, text(item))
		}
	}
	return all
}

// pairs calls f for each key of a mapping, those that are merged into it included.
func pairs(node *yaml.Node, f func(key, value *yaml.Node)) { pairsWithin(node, maxDepth, f) }

func pairsWithin(node *yaml.Node, depth int, f func(key, value *yaml.Node)) {
	node = resolve(node)
	if node == nil || node.Kind != yaml.MappingNode || depth == 0 {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Tag != "!!merge" && node.Content[i].Value != "<<" {
			f(node.Content[i], resolve(node.Content[i+1]))
			continue
		}
		from := resolve(node.Content[i+1])
		if from != nil && from.Kind == yaml.SequenceNode {
			for _, one := range from.Content {
				pairsWithin(one, depth-1, f)
			}
		} else {
			pairsWithin(from, depth-1, f)
		}
	}
}
