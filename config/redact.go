package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// masked stands for a secret.
const masked = "***"

// Redacted is a deep copy in which no secret is left: passwords, tokens and
// the like read "***", and addresses keep only what holds no password.
func (c *Config) Redacted() *Config {
	out := &Config{}
	redactSection(reflect.ValueOf(c).Elem(), reflect.ValueOf(out).Elem())
	return out
}

func redactSection(from, to reflect.Value) {
	for _, f := range sectionOf(from.Type()).fields {
		redactField(f, from.FieldByIndex(f.index), to.FieldByIndex(f.index))
	}
}

func redactField(f field, from, to reflect.Value) {
	if f.pointer {
		if from.IsNil() {
			return
		}
		to.Set(reflect.New(f.typ))
		from, to = from.Elem(), to.Elem()
	}
	switch f.kind {
	case kindSection:
		redactSection(from, to)
	case kindInstances:
		redactInstances(from, to)
	case kindTexts:
		redactTexts(f, from, to)
	case kindItems:
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			redactSection(from.Index(i), to.Index(i))
		}
	case kindStrings, kindInts:
		to.Set(reflect.AppendSlice(reflect.MakeSlice(from.Type(), 0, from.Len()), from))
	case kindString:
		to.SetString(redactText(f.secret, from.String()))
	default:
		to.Set(from)
	}
}

func redactInstances(from, to reflect.Value) {
	to.Set(reflect.MakeMap(from.Type()))
	for _, name := range from.MapKeys() {
		instance := reflect.New(from.Type().Elem()).Elem()
		redactSection(from.MapIndex(name), instance)
		to.SetMapIndex(name, instance)
	}
}

// secretName tells names of properties whose value is a secret.
var secretName = regexp.MustCompile(`(?i)passw|pwd|passphrase|secret|token|key|credential|dsn|jaas|\.pem$`)

func redactTexts(f field, from, to reflect.Value) {
	to.Set(reflect.MakeMap(from.Type()))
	for _, name := range from.MapKeys() {
		mode := f.secret
		if mode == secretNames {
			mode = ""
			if secretName.MatchString(name.String()) {
				mode = secretAll
			}
		}
		to.SetMapIndex(name, reflect.ValueOf(redactText(mode, from.MapIndex(name).String())))
	}
}

func redactText(mode, text string) string {
	switch {
	case text == "" || mode == "":
		return text
	case mode == secretURL:
		return RedactURL(text)
	default:
		return masked
	}
}

var (
	urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	urlHosts  = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(,(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?)*$`)
	urlPath   = regexp.MustCompile(`^[A-Za-z0-9/._-]*$`)
)

// RedactURL is an address or connection string for people: scheme, hosts and
// path. User, password and query are masked, also when the password holds @, /
// or ?, and whatever does not look like an address is masked as a whole.
func RedactURL(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || !urlScheme.MatchString(scheme) {
		return masked
	}
	out := scheme + "://"
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		out += masked + "@"
		// Whether a ? before the last @ begins the query or belongs to the
		// password cannot be told, so neither can what follows the @.
		if strings.ContainsAny(rest[:at], "?#") {
			return out + masked
		}
		rest = rest[at+1:]
	}
	rest, query := cutAny(rest, "?#")
	hosts, tail, hasPath := strings.Cut(rest, "/")
	if !urlHosts.MatchString(hosts) || !urlPath.MatchString(tail) {
		return out + masked
	}
	out += hosts
	if hasPath {
		out += "/" + tail
	}
	if query != "" {
		out += query[:1] + masked
	}
	return out
}

func cutAny(s, chars string) (before, after string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// String is the configuration as YAML, without secrets.
func (c Config) String() string {
	data, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Sprintf("configuration which cannot be printed: %v", err)
	}
	return string(data)
}

// GoString is String: %#v shows no secret either.
func (c Config) GoString() string { return c.String() }

// MarshalYAML is the configuration as a file would have it, without secrets
// and without what is empty.
func (c Config) MarshalYAML() (any, error) {
	return c.node(), nil
}

// MarshalJSON is MarshalYAML for JSON.
func (c Config) MarshalJSON() ([]byte, error) {
	var tree any
	if err := c.node().Decode(&tree); err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return json.Marshal(tree)
}

// node is the configuration as a file would have it. Settings that must not be
// there together with another one are left out.
func (c Config) node() *yaml.Node {
	root := sectionNode(reflect.ValueOf(c.Redacted()).Elem())
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == "kafka" && c.Kafka.GroupProtocol == "consumer" {
			remove(root.Content[i+1], "session_timeout", "heartbeat_interval")
		}
	}
	return root
}

// remove takes keys out of a mapping.
func remove(n *yaml.Node, keys ...string) {
	var kept []*yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		if !slices.Contains(keys, n.Content[i].Value) {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
}

func sectionNode(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range sectionOf(v.Type()).fields {
		value := v.FieldByIndex(f.index)
		if f.pointer && value.IsNil() {
			continue
		}
		if f.pointer {
			value = value.Elem()
		}
		n.Content = append(n.Content, textNode("!!str", f.name), valueNode(f, value))
	}
	return n
}

func valueNode(f field, v reflect.Value) *yaml.Node {
	switch f.kind {
	case kindSection:
		return sectionNode(v)
	case kindInstances, kindTexts:
		return mapNode(f, v)
	case kindItems, kindStrings, kindInts:
		return listNode(f, v)
	case kindDuration:
		return textNode("!!str", durationText(time.Duration(v.Int())))
	case kindInt:
		return textNode("!!int", strconv.FormatInt(v.Int(), 10))
	case kindBool:
		return textNode("!!bool", strconv.FormatBool(v.Bool()))
	default:
		return literalNode(v.String())
	}
}

// literalNode is a text which reads as itself although the file replaces ${}.
func literalNode(text string) *yaml.Node {
	return textNode("!!str", strings.ReplaceAll(text, "${", "$${"))
}

func mapNode(f field, v reflect.Value) *yaml.Node {
	values := map[string]reflect.Value{}
	for _, name := range v.MapKeys() {
		values[name.String()] = v.MapIndex(name)
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	inOrder(values, func(name string, value reflect.Value) {
		var item *yaml.Node
		if f.kind == kindInstances {
			item = sectionNode(value)
		} else {
			item = literalNode(value.String())
		}
		n.Content = append(n.Content, textNode("!!str", name), item)
	})
	return n
}

func listNode(f field, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	of := map[kind]kind{kindItems: kindSection, kindStrings: kindString, kindInts: kindInt}[f.kind]
	for i := range v.Len() {
		n.Content = append(n.Content, valueNode(field{kind: of}, v.Index(i)))
	}
	return n
}
