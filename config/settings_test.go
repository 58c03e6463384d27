package config

import (
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// tree is a file before it is written: sections, lists and values.
type tree = map[string]any

// leaf is one setting with the keys that lead to it. Instances of maps are
// called "one", and of a list of sections there is one item.
type leaf struct {
	field field
	keys  []string
}

// one is the name of every sink in these tests.
const one = "one"

// leaves are all settings there are.
func leaves() []leaf {
	var all []leaf
	var walk func(t reflect.Type, keys []string)
	walk = func(t reflect.Type, keys []string) {
		for _, f := range sectionOf(t).fields {
			at := append(append([]string{}, keys...), f.name)
			switch f.kind {
			case kindSection:
				walk(f.typ, at)
			case kindInstances:
				walk(f.typ.Elem(), append(at, one))
			case kindItems:
				at[len(at)-1] += "[0]"
				walk(f.typ.Elem(), at)
			default:
				all = append(all, leaf{field: f, keys: at})
			}
		}
	}
	walk(reflect.TypeFor[Config](), nil)
	return all
}

// key is the setting as its user types it, under one of its names.
func (l leaf) key(name string) string {
	return strings.Join(append(append([]string{}, l.keys[:len(l.keys)-1]...), name), ".")
}

// variable is the name of its environment variable; entries of lists have none.
func (l leaf) variable(name string) (string, bool) {
	key := l.key(name)
	if strings.Contains(key, "[") {
		return "", false
	}
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(key, ".", variableNest)), true
}

// around is a file in which everything that the setting's section needs is set,
// and the section itself.
func (l leaf) around() (file, section tree) {
	file = tree{}
	section = file
	for _, key := range l.keys[:len(l.keys)-1] {
		key, inList := strings.CutSuffix(key, "[0]")
		next := tree{}
		if inList {
			section[key] = []any{next}
		} else {
			section[key] = next
		}
		section = next
	}
	path := l.key(l.field.name)
	switch {
	case strings.HasPrefix(path, "sinks.") && len(l.keys) > 3:
		for name, value := range needed(l.keys[1]) {
			set(file, value, "sinks", l.keys[1], one, name)
		}
		if strings.HasPrefix(path, "sinks.kafka.one.security.") {
			set(file, "b", "sinks", "kafka", one, "brokers")
		}
	case strings.HasPrefix(path, "dlq.security."):
		set(file, "b", "dlq", "brokers")
	case strings.HasPrefix(path, "handler.exec.deliver[0]."):
		l.aroundDelivery(file, section)
	case strings.HasPrefix(path, "handler.exec."):
		section["deliver"] = []any{tree{"type": "redis", "key": "k"}}
		file["sinks"] = tree{"redis": tree{one: tree{}}}
	}
	if strings.HasPrefix(path, "handler.exec.") {
		file["executor"] = tree{"binary_path": "rg"}
	}
	maps.Copy(section, companions[l.field.name])
	return file, section
}

// aroundDelivery lets a delivery be of a type which the setting belongs to.
func (l leaf) aroundDelivery(file, section tree) {
	section["type"], section["key"] = "redis", "k"
	switch l.field.name {
	case "topic":
		section["type"] = "kafka"
	case "table":
		section["type"] = "postgres"
		delete(section, "key")
	case "collection":
		section["type"] = "mongo"
		delete(section, "key")
	case "path":
		section["type"] = "filesystem"
		delete(section, "key")
	}
	sinks := tree{}
	for _, kind := range []string{"kafka", "postgres", "redis", "mongo", "filesystem"} {
		sinks[kind] = tree{one: needed(kind)}
	}
	file["sinks"] = sinks
}

// needed is what a sink of a kind cannot be without.
func needed(kind string) tree {
	kinds, _ := sectionOf(reflect.TypeFor[Sinks]()).lookup(kind)
	section := tree{}
	for _, f := range sectionOf(kinds.typ.Elem()).fields {
		switch {
		case !f.required || f.hasDef:
		case f.name == "url":
			section[f.name] = "http://h"
		default:
			section[f.name] = "x"
		}
	}
	return section
}

// companions are what some settings cannot be without.
var companions = map[string]tree{
	"mechanism": {"protocol": "sasl_ssl"},
	"cert_file": {"key_file": "x"},
	"key_file":  {"cert_file": "x"},
}

func set(file tree, value any, keys ...string) {
	for _, key := range keys[:len(keys)-1] {
		file, _ = file[key].(tree)
	}
	file[keys[len(keys)-1]] = value
}

// with is the file with the setting.
func (l leaf) with(name string, value any) tree {
	file, section := l.around()
	section[name] = value
	return file
}

func (l leaf) without() tree {
	file, _ := l.around()
	return file
}

func written(t *testing.T, file tree) string {
	t.Helper()
	data, err := yaml.Marshal(file)
	require.NoError(t, err)
	return string(data)
}

// asVariables is a file as JSON in the environment, a variable for each key at
// its root.
func asVariables(t *testing.T, file tree) []string {
	t.Helper()
	var environ []string
	for key, value := range file {
		if text, ok := value.(string); ok {
			environ = append(environ, variablePrefix+strings.ToUpper(key)+"="+text)
			continue
		}
		data, err := json.Marshal(value)
		require.NoError(t, err)
		environ = append(environ, variablePrefix+strings.ToUpper(key)+"="+string(data))
	}
	return environ
}

// sample is a value other than the default which is right: as it stands in a
// file, and as the text of a variable.
func (l leaf) sample() (value any, text string) {
	switch l.field.kind {
	case kindBool:
		text = strconv.FormatBool(l.field.def != "true")
	case kindInt:
		n, _ := strconv.Atoi(l.field.def)
		text = strconv.Itoa(n + 1)
	case kindDuration:
		d, _ := time.ParseDuration(l.field.def)
		text = (d + time.Millisecond).String()
	case kindStrings:
		return []any{"A", "B"}, "A,B"
	case kindInts:
		return []any{7, 8}, "7,8"
	default:
		text = l.sampleText()
	}
	return text, text
}

func (l leaf) sampleText() string {
	switch {
	case l.field.name == "type": // of a delivery: one that has a key, too
		return "kafka"
	case l.field.limits != "":
		for _, choice := range newLimits(l.field).choices {
			if choice != "" && choice != l.field.def {
				return choice
			}
		}
	case l.key("url") == "sinks.redis.one.url" && l.field.name == "url":
		return "redis://other"
	case l.field.name == "url":
		return "http://other"
	case l.field.name == "sink":
		return one
	}
	return "sample"
}
