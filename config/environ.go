package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Variables are the prefix, then the keys with "__" between them.
const (
	variablePrefix = "DRAKKAR_"
	variableNest   = "__"
)

// notSettings are variables that begin like a setting and are none: programs
// that an executor starts have two of them.
var notSettings = []string{FileVariable, "DRAKKAR_TASK", "DRAKKAR_RESIDENT"}

// readEnvironment reads the variables that begin with DRAKKAR_ into the layer
// of the environment. It runs after the file was read: names of sinks and the
// like are matched to those which the file has.
func (l loader) readEnvironment(environ []string) {
	vars := newExpander(environ).vars
	// A name sorts before those that are longer by a further key, so an object
	// comes before the variables that change something in it.
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		rest, ok := strings.CutPrefix(name, variablePrefix)
		if !ok || slices.Contains(notSettings, name) || isServiceLink(name, vars[name]) {
			continue
		}
		v := variable{
			reader: reader{findings: l.findings, layer: l.environ, variable: name},
			text:   vars[name],
		}
		v.section(reflect.TypeFor[Config](), strings.Split(rest, variableNest), path{})
	}
}

var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// isServiceLink tells the variables apart that Kubernetes puts into every pod
// for a service whose name begins with drakkar.
func isServiceLink(name, value string) bool {
	if strings.Contains(name, variableNest) {
		return false
	}
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// variable is one environment variable on its way down the sections.
type variable struct {
	reader
	text string

	// parents are the sections which exist once the variable sets something.
	parents []path
}

func (v variable) section(t reflect.Type, keys []string, at path) {
	known := sectionOf(t)
	f, name, ok := known.lookupFold(keys[0])
	if !ok {
		v.notFound(keys, at)
		return
	}
	v.parents = append(v.parents, at)
	s := slot{field: f, name: name, at: at.child(f.name), origin: origin{key: v.variable}}
	v.field(s, keys[1:])
}

func (v variable) field(s slot, keys []string) {
	switch {
	case len(keys) == 0:
		v.set(s)
	case s.field.kind == kindSection:
		v.section(s.field.typ, keys, s.at)
	case s.field.kind == kindInstances:
		v.instance(s, keys)
	case s.field.kind == kindTexts:
		v.entry(s, strings.Join(keys, variableNest))
	default:
		v.unknown()
	}
}

// set reads the variable's text as the value of a field.
func (v variable) set(s slot) {
	n := variableNode(s.field, v.text)
	if n == nil {
		v.fail(s.at, s.origin.problem("is not valid JSON"))
		return
	}
	for _, p := range v.parents {
		v.present(p, s.origin)
	}
	v.value(s, n)
}

func (v variable) instance(s slot, keys []string) {
	name, rest, err := v.instanceName(s.at, keys)
	if err != nil {
		v.fail(s.at, s.origin.problem("%v", err))
		return
	}
	if len(rest) > 0 {
		at := s.at.entry(name)
		if !fitName(name) {
			v.fail(at, s.origin.problem(unfitName))
			return
		}
		known := sectionOf(s.field.typ.Elem())
		if _, _, ok := known.lookupFold(rest[0]); !ok {
			v.unknown()
			return
		}
		v.findings.name(s.at, name)
		v.section(s.field.typ.Elem(), rest, at)
		return
	}
	n := variableNode(s.field, v.text)
	if n == nil {
		v.fail(s.at, s.origin.problem("is not valid JSON"))
		return
	}
	v.reader.instance(s, entry{name: name, node: n})
}

// instanceName finds the instance which the first keys name: a known one, or
// else a new one of the first key.
func (v variable) instanceName(at path, keys []string) (name string, rest []string, err error) {
	for i := len(keys); i > 0; i-- {
		name, err := v.match(at, strings.Join(keys[:i], variableNest))
		if name != "" || err != nil {
			return name, keys[i:], err
		}
	}
	return strings.ToLower(keys[0]), keys[1:], nil
}

// match finds a name that the user chose elsewhere, as it is written in the
// name of a variable.
func (v variable) match(at path, key string) (string, error) {
	var found []string
	for name := range v.names[at.key] {
		if foldName(name) == foldName(key) {
			found = append(found, name)
		}
	}
	if len(found) > 1 {
		slices.Sort(found)
		return "", errors.New("fits several names: " + strings.Join(found, ", "))
	}
	return strings.Join(found, ""), nil
}

// foldName makes names equal which differ only in what names of variables
// cannot hold.
func foldName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// entry sets one key of a map.
func (v variable) entry(s slot, key string) {
	name, err := v.entryName(s, key)
	if err != nil {
		v.fail(s.at, s.origin.problem("%v", err))
		return
	}
	for _, p := range v.parents {
		v.present(p, s.origin)
	}
	v.findings.name(s.at, name)
	v.put(s.at.entry(name), &given{value: v.text, origin: s.origin})
}

func (v variable) entryName(s slot, key string) (string, error) {
	if s.field.keys == keysExact {
		return key, nil
	}
	name, err := v.match(s.at, key)
	switch {
	case name != "" || err != nil:
		return name, err
	case s.field.keys == keysProperty:
		return strings.ToLower(strings.ReplaceAll(key, "_", ".")), nil
	default:
		return strings.ReplaceAll(key, "_", "-"), nil
	}
}

// notFound is about a variable whose keys name no setting: one that older
// versions have, or a mistake.
func (v variable) notFound(keys []string, at path) {
	full := at.child(strings.ToLower(strings.Join(keys, ".")))
	advice, ok := retired[full.key]
	switch {
	case ok:
		v.warnings = append(v.warnings, Warning{Key: v.variable, Text: advice})
	case full.key != "" && len(retiredBelow(full.key)) > 0:
		v.retiredObject(full)
	default:
		v.unknown()
	}
}

func (v variable) retiredObject(at path) {
	n := variableNode(field{kind: kindSection}, v.text)
	if n == nil {
		v.fail(at, Problem{Key: v.variable, Text: "is not valid JSON"})
		return
	}
	v.retiredSection(entry{node: n}, at, retiredBelow(at.key), origin{key: v.variable})
}

func (v variable) unknown() {
	known := variableNames(path{}, reflect.TypeFor[Config](), variablePrefix, v.instanceNames)
	v.strays = append(v.strays, Problem{
		Key:  v.variable,
		Text: "is not a setting, the nearest that is one is " + nearest(v.variable, known),
	})
}

// instanceNames are those that a variable may have meant: the known ones, and
// the one it names itself.
func (v variable) instanceNames(at path, prefix string) []string {
	names := slices.Sorted(maps.Keys(v.names[at.key]))
	for i := range names {
		names[i] = strings.ToUpper(foldName(names[i]))
	}
	if rest, ok := strings.CutPrefix(v.variable, prefix); ok {
		own, _, _ := strings.Cut(rest, variableNest)
		names = append(names, own)
	}
	return names
}

// variableNames are the variables for all settings of a section; instances
// says which names its maps have.
func variableNames(at path, t reflect.Type, prefix string, instances func(at path, prefix string) []string) []string {
	var names []string
	for _, f := range sectionOf(t).fields {
		for _, name := range f.names() {
			names = append(names, prefix+strings.ToUpper(name))
		}
		child, below := at.child(f.name), prefix+strings.ToUpper(f.name)+variableNest
		switch f.kind {
		case kindSection:
			names = append(names, variableNames(child, f.typ, below, instances)...)
		case kindInstances:
			for _, name := range instances(child, below) {
				names = append(names, variableNames(child.entry(name), f.typ.Elem(), below+name+variableNest, instances)...)
			}
		}
	}
	return names
}

// variableNode is the text of a variable as the node a file would have. Lists
// are comma separated or JSON, sections and maps JSON. It is nil when JSON is
// wanted and text is not.
func variableNode(f field, text string) *yaml.Node {
	switch f.kind {
	case kindStrings, kindInts:
		if !strings.HasPrefix(strings.TrimSpace(text), "[") {
			return commaNode(text)
		}
		return jsonNode(text)
	case kindSection, kindInstances, kindTexts, kindItems:
		if text == "" {
			return textNode("!!null", "")
		}
		return jsonNode(text)
	default:
		if text == "" && f.pointer {
			return textNode("!!null", "")
		}
		return textNode("!!str", text)
	}
}

func commaNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if strings.TrimSpace(text) == "" {
		return n
	}
	for item := range strings.SplitSeq(text, ",") {
		n.Content = append(n.Content, textNode("!!str", strings.TrimSpace(item)))
	}
	return n
}

func textNode(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

func jsonNode(text string) *yaml.Node {
	if !json.Valid([]byte(text)) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	n, err := nextJSON(dec)
	if err != nil {
		return nil
	}
	return n
}

// nextJSON reads one value, token by token: decoding into a map would lose
// keys that are there twice.
func nextJSON(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for dec.More() {
			item, err := nextJSON(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err := dec.Token()
		return n, err
	case string:
		return textNode("!!str", t), nil
	case json.Number:
		return textNode("!!float", t.String()), nil
	case bool:
		if t {
			return textNode("!!bool", "true"), nil
		}
		return textNode("!!bool", "false"), nil
	default:
		return textNode("!!null", ""), nil
	}
}
