package config

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns nodes of one source into settings of one layer.
type reader struct {
	*findings
	layer map[string]*given

	// expand replaces ${} in texts; nil leaves them alone.
	expand *expander

	// variable is the environment variable which is read, if one is.
	variable string
}

// slot is where a value goes: a field, under the name it was given by, at a
// path, from an origin.
type slot struct {
	field  field
	name   string
	at     path
	origin origin
}

// entry is a key of a mapping with its value.
type entry struct {
	name string
	node *yaml.Node
	line int
}

func (r reader) value(s slot, n *yaml.Node) {
	n = resolve(n)
	if isNull(n) {
		r.null(s)
		return
	}
	switch s.field.kind {
	case kindSection:
		r.section(s.field.typ, n, s.at, s.origin)
	case kindInstances:
		r.instances(s, n)
	case kindTexts:
		r.texts(s, n)
	case kindItems:
		r.items(s, n)
	case kindStrings, kindInts:
		r.list(s, n)
	default:
		if s.field.joined {
			n = joined(n)
		}
		if v, o, ok := r.scalar(s, n); ok {
			r.put(s.at, &given{value: v, origin: o})
		}
	}
}

// null leaves the setting to the layers below, except that a variable unsets a
// pointer.
func (r reader) null(s slot) {
	if r.variable != "" && s.field.pointer && s.field.kind != kindSection {
		r.put(s.at, &given{origin: s.origin})
	}
}

// put stores a setting. Of two variables for one setting, the one that names
// it more closely wins.
func (r reader) put(at path, g *given) {
	old, ok := r.layer[at.key]
	if ok && r.variable != "" && !r.closer(old.origin) {
		r.fail(at, g.origin.problem("sets the same as %s, keep one", old.origin.key))
		return
	}
	r.layer[at.key] = g
}

func (r reader) closer(old origin) bool {
	variable, _, _ := strings.Cut(old.key, ".")
	return variable == r.variable || strings.Count(variable, "__") < strings.Count(r.variable, "__")
}

// present notes that a section exists.
func (r reader) present(at path, o origin) {
	r.layer[at.presence()] = &given{origin: o}
}

func (r reader) section(t reflect.Type, n *yaml.Node, at path, o origin) {
	entries, ok := r.entries(n, at, o)
	if !ok {
		return
	}
	r.present(at, o)
	known := sectionOf(t)
	seen := map[string]string{}
	for _, e := range entries {
		from := o.at(below(o.key, e.name), e.line)
		f, ok := known.lookup(e.name)
		if !ok {
			r.stray(e, at, known.names(), from)
			continue
		}
		if first, twice := seen[f.name]; twice {
			r.fail(at.child(f.name), from.problem("is the same setting as %s, keep one of them", first))
			continue
		}
		seen[f.name] = e.name
		r.value(slot{field: f, name: e.name, at: at.child(f.name), origin: from}, e.node)
	}
}

// below is how a key is called in messages.
func below(parent, name string) string {
	if parent == "" {
		return printable(name)
	}
	return parent + "." + printable(name)
}

// stray is a key which is no setting: one that older files have, or a mistake.
func (r reader) stray(e entry, at path, known []string, from origin) {
	child := at.entry(e.name)
	if advice, ok := retired[child.key]; ok {
		r.warnings = append(r.warnings, Warning{Key: from.key, Text: advice, File: from.file, Line: from.line})
		return
	}
	if names := retiredBelow(child.key); len(names) > 0 {
		r.retiredSection(e, child, names, from)
		return
	}
	known = append(known, retiredBelow(at.key)...)
	r.problems = append(r.problems,
		from.problem("is not a setting, the nearest that is one is %s", nearest(e.name, known)))
}

func (r reader) retiredSection(e entry, at path, names []string, from origin) {
	if isNull(resolve(e.node)) {
		return
	}
	entries, _ := r.entries(e.node, at, from)
	for _, e := range entries {
		r.stray(e, at, names, from.at(below(from.key, e.name), e.line))
	}
}

func (r reader) instances(s slot, n *yaml.Node) {
	entries, ok := r.entries(n, s.at, s.origin)
	if !ok {
		return
	}
	for _, e := range entries {
		r.instance(s, e)
	}
}

func (r reader) instance(s slot, e entry) {
	at, from := s.at.entry(e.name), s.origin.at(below(s.origin.key, e.name), e.line)
	if !fitName(e.name) {
		r.fail(at, from.problem(unfitName))
		return
	}
	r.findings.name(s.at, e.name)
	r.present(at, from)
	if n := resolve(e.node); !isNull(n) {
		r.section(s.field.typ.Elem(), n, at, from)
	}
}

const unfitName = "a name must not be empty or hold control characters, quotes or backslashes"

// fitName reports whether a sink can have the name: it is shown in lines of logs
// and is a label of metrics.
func fitName(name string) bool { return name != "" && printable(name) == name }

func (r reader) texts(s slot, n *yaml.Node) {
	entries, ok := r.entries(n, s.at, s.origin)
	if !ok {
		return
	}
	for _, e := range entries {
		r.text(s, e)
	}
}

func (r reader) text(s slot, e entry) {
	at := s.at.entry(e.name)
	from := s.origin.at(below(s.origin.key, e.name), e.line)
	if isNull(resolve(e.node)) {
		r.fail(at, from.problem(`has no value, write "" for an empty one`))
		return
	}
	of := slot{field: field{kind: kindString}, at: at, origin: from}
	if v, o, ok := r.scalar(of, resolve(e.node)); ok {
		r.findings.name(s.at, e.name)
		r.put(at, &given{value: v, origin: o})
	}
}

func (r reader) list(s slot, n *yaml.Node) {
	if !r.wants(s, n, yaml.SequenceNode, "a list") {
		return
	}
	of := s
	of.field.kind = kindString
	elem := reflect.TypeFor[string]()
	if s.field.kind == kindInts {
		of.field.kind, elem = kindInt, reflect.TypeFor[int]()
	}
	values := reflect.MakeSlice(reflect.SliceOf(elem), 0, len(n.Content))
	origins := map[string]origin{}
	for i, item := range n.Content {
		suffix := fmt.Sprintf("[%d]", i)
		of.at, of.origin = s.at.item(suffix), s.origin.at(s.origin.key+suffix, item.Line)
		v, o, ok := r.scalar(of, resolve(item))
		if !ok {
			v = reflect.Zero(elem).Interface() // keeps the places of the others
		}
		values = reflect.Append(values, reflect.ValueOf(v).Convert(elem))
		origins[of.at.key] = o
	}
	r.put(s.at, &given{value: values.Interface(), origin: s.origin, items: origins})
}

// items reads a list of sections. Such a list is one value: a higher layer
// replaces it as a whole.
func (r reader) items(s slot, n *yaml.Node) {
	if !r.wants(s, n, yaml.SequenceNode, "a list of sections") {
		return
	}
	values := reflect.MakeSlice(s.field.typ, 0, len(n.Content))
	origins := map[string]origin{}
	for i, item := range n.Content {
		suffix := fmt.Sprintf("[%d]", i)
		at, from := s.at.item(suffix), s.origin.at(s.origin.key+suffix, item.Line)
		sub := r
		sub.findings = newFindings()
		sub.layer = sub.file
		sub.section(s.field.typ.Elem(), resolve(item), at, from)
		d := newDecoder(sub.findings)
		value := reflect.New(s.field.typ.Elem()).Elem()
		d.section(value, at)
		values = reflect.Append(values, value)
		r.adopt(sub.findings)
		maps.Copy(origins, d.origins)
	}
	r.put(s.at, &given{value: values.Interface(), origin: s.origin, items: origins})
}

func (f *findings) adopt(sub *findings) {
	f.problems = append(f.problems, sub.problems...)
	f.warnings = append(f.warnings, sub.warnings...)
	for key := range sub.failed {
		f.failed[key] = true
	}
}

func (r reader) wants(s slot, n *yaml.Node, k yaml.Kind, what string) bool {
	if n.Kind == k && plainTag(n) {
		return true
	}
	r.fail(s.at, s.origin.problem("want %s, not %s", what, nodeName(n)))
	return false
}
