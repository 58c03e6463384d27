package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// deliveryKeys are the keys of an entry of handler.exec.deliver that belong to
// some kinds of sinks only; of each kind, those it takes, and the one it must
// have.
var deliveryKeys = map[string]struct {
	takes []string
	needs string
}{
	"kafka":      {takes: []string{"key", "topic"}},
	"postgres":   {takes: []string{"table"}, needs: "table"},
	"mongo":      {takes: []string{"collection"}, needs: "collection"},
	"http":       {},
	"redis":      {takes: []string{"key", "ttl"}, needs: "key"},
	"filesystem": {takes: []string{"path"}, needs: "path"},
}

func (v *validator) exec(c *Config) {
	at, e := setting("handler.exec"), c.Handler.Exec
	if e.Binary == "" && c.Executor.BinaryPath == "" {
		v.refuse(at.child("binary"), "must be set, or executor.binary_path")
	}
	v.disjoint(at, e)
	deliver := at.child("deliver")
	if len(e.Deliver) == 0 && v.sound(deliver) {
		v.refuse(deliver, "must name at least one sink")
	}
	for i, d := range e.Deliver {
		v.delivery(deliver.item(fmt.Sprintf("[%d]", i)), d, c.Sinks.names(d.Type))
	}
}

// disjoint checks that no exit code has two meanings.
func (v *validator) disjoint(at path, e *ExecHandler) {
	meanings := map[int]string{0: "success_codes, as always"}
	for _, list := range []struct {
		name  string
		codes []int
	}{
		{"success_codes", e.SuccessCodes}, {"retry_codes", e.RetryCodes}, {"skip_codes", e.SkipCodes},
	} {
		for i, code := range list.codes {
			item := at.child(list.name).item(fmt.Sprintf("[%d]", i))
			other, taken := meanings[code]
			if taken && other != list.name && list.name != "success_codes" && v.sound(item) {
				v.refuse(item, "%d is one of %s", code, other)
			}
			if !taken {
				meanings[code] = list.name
			}
		}
	}
}

// delivery checks one entry against the names of the configured sinks of its
// kind.
func (v *validator) delivery(at path, d ExecDelivery, names []string) {
	if !v.sound(at, at.child("type")) {
		return
	}
	sink := at.child("sink")
	switch {
	case len(names) == 0:
		v.refuse(at.child("type"), "no sink of type %s is configured", d.Type)
	case d.Sink == "" && len(names) > 1:
		v.refuse(sink, "must be set, there are several of type %s: %s", d.Type, strings.Join(names, ", "))
	case d.Sink != "" && !slices.Contains(names, d.Sink):
		v.refuse(sink, "%s is not a sink of type %s, these are: %s", v.shown(sink, reflect.ValueOf(d.Sink)), d.Type, strings.Join(names, ", "))
	}
	v.deliveryKeys(at, d)
}

func (v *validator) deliveryKeys(at path, d ExecDelivery) {
	set := map[string]bool{
		"key": d.Key != "", "topic": d.Topic != "", "table": d.Table != "",
		"collection": d.Collection != "", "path": d.Path != "", "ttl": d.TTL != 0,
	}
	rule := deliveryKeys[d.Type]
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] && !slices.Contains(rule.takes, key) {
			v.refuse(at.child(key), "has no meaning for sinks of type %s", d.Type)
		}
	}
	if rule.needs != "" && !set[rule.needs] {
		v.refuse(at.child(rule.needs), "must be set for sinks of type %s", d.Type)
	}
}

// names are the sinks of one type.
func (s Sinks) names(kind string) []string {
	switch kind {
	case "kafka":
		return slices.Sorted(maps.Keys(s.Kafka))
	case "postgres":
		return slices.Sorted(maps.Keys(s.Postgres))
	case "mongo":
		return slices.Sorted(maps.Keys(s.Mongo))
	case "http":
		return slices.Sorted(maps.Keys(s.HTTP))
	case "redis":
		return slices.Sorted(maps.Keys(s.Redis))
	case "filesystem":
		return slices.Sorted(maps.Keys(s.Filesystem))
	default:
		return nil
	}
}
