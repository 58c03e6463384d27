package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// entries are the keys of a mapping, in order, each once.
func (r reader) entries(n *yaml.Node, at path, o origin) ([]entry, bool) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode || !plainTag(n) {
		r.fail(at, o.problem("want a section, lines of key: value, not %s", nodeName(n)))
		return nil, false
	}
	m := mapping{reader: r, origin: o, seen: map[string]int{}, merged: map[*yaml.Node]bool{n: true}}
	m.add(n)
	return m.entries, true
}

// mapping collects the keys of a mapping and of those it merges with <<.
type mapping struct {
	reader
	origin  origin
	entries []entry
	seen    map[string]int // line of each key

	// merged are the mappings already taken: none is taken twice, so neither
	// a mapping that merges itself nor a bomb of merges does harm.
	merged map[*yaml.Node]bool
}

func (m *mapping) add(n *yaml.Node) {
	var merges []*yaml.Node
	own := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			m.problems = append(m.problems, m.origin.at(m.origin.key, key.Line).problem("holds a key that is not text"))
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case own[key.Value]:
			from := m.origin.at(below(m.origin.key, key.Value), n.Content[i].Line)
			m.problems = append(m.problems, from.problem("is set twice, first %s", m.first(key.Value)))
		default:
			own[key.Value] = true
			m.take(key.Value, value, n.Content[i].Line)
		}
	}
	for _, merge := range merges {
		m.merge(merge)
	}
}

func (m *mapping) first(name string) string {
	if m.variable != "" {
		return "in the same object"
	}
	return fmt.Sprintf("in line %d", m.seen[name])
}

// take adds a key unless a mapping which takes precedence has it.
func (m *mapping) take(name string, value *yaml.Node, line int) {
	if _, ok := m.seen[name]; ok {
		return
	}
	m.seen[name] = line
	m.entries = append(m.entries, entry{name: name, node: value, line: line})
}

func (m *mapping) merge(n *yaml.Node) {
	n = resolve(n)
	switch {
	case m.merged[n]:
	case n.Kind == yaml.MappingNode:
		m.merged[n] = true
		m.add(n)
	case n.Kind == yaml.SequenceNode:
		m.merged[n] = true
		for _, item := range n.Content {
			m.merge(item)
		}
	default:
		m.problems = append(m.problems, m.origin.at(below(m.origin.key, "<<"), n.Line).problem("want a mapping to merge"))
	}
}

// resolve follows aliases. The depth of a chain of them is bounded by the
// file: an alias can only name a node before it.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func plainTag(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!map", "!!seq":
		return true
	default:
		return false
	}
}

// nodeName is what a node is. It shows nothing of it: a secret which is out of
// place must not end up in a message.
func nodeName(n *yaml.Node) string {
	switch {
	case !plainTag(n):
		return "a value with a tag (quote texts that begin with !)"
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
