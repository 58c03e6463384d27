package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// validator checks a configuration against its tags and against the rules
// between settings, and says where a wrong value came from when it knows.
type validator struct {
	*findings
	origins map[string]origin
}

func newValidator(f *findings, origins map[string]origin) *validator {
	return &validator{findings: f, origins: origins}
}

// config checks everything that can be told from the values alone.
func (v *validator) config(c *Config) {
	v.section(reflect.ValueOf(c).Elem(), path{})
	v.rules(c)
}

// refuse reports a setting.
func (v *validator) refuse(at path, format string, args ...any) {
	v.fail(at, v.origin(at).problem(format, args...))
}

// origin is where a setting came from; for one that is not set, the place of
// the section that lacks it.
func (v *validator) origin(at path) origin {
	if o, ok := v.origins[at.key]; ok {
		return o
	}
	for key := at.key; key != ""; {
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
		if o, ok := v.origins[key]; ok {
			return origin{key: at.text, file: o.file, line: o.line}
		}
	}
	return origin{key: at.text}
}

// sound reports whether none of the settings was refused, so that a rule
// between them makes sense.
func (v *validator) sound(settings ...path) bool {
	return !slices.ContainsFunc(settings, func(at path) bool { return v.failed[at.key] })
}

func (v *validator) section(s reflect.Value, at path) {
	for _, f := range sectionOf(s.Type()).fields {
		v.field(f, s.FieldByIndex(f.index), at.child(f.name))
	}
}

func (v *validator) field(f field, value reflect.Value, at path) {
	if f.pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	switch f.kind {
	case kindSection:
		v.section(value, at)
	case kindInstances:
		v.instances(value, at)
	case kindItems:
		for i := range value.Len() {
			v.section(value.Index(i), at.item(fmt.Sprintf("[%d]", i)))
		}
	case kindInts, kindStrings:
		for i := range value.Len() {
			v.leaf(f, value.Index(i), at.item(fmt.Sprintf("[%d]", i)))
		}
	case kindTexts:
	default:
		v.leaf(f, value, at)
	}
}

func (v *validator) instances(value reflect.Value, at path) {
	names := make([]string, 0, value.Len())
	for _, name := range value.MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	for _, name := range names {
		v.section(value.MapIndex(reflect.ValueOf(name)), at.entry(name))
	}
}

func (v *validator) leaf(f field, value reflect.Value, at path) {
	if v.failed[at.key] {
		return
	}
	if f.required && value.IsZero() {
		v.refuse(at, "must be set")
		return
	}
	wrong := ""
	switch value.Kind() {
	case reflect.String:
		wrong = newLimits(f).checkText(value.String())
	case reflect.Int, reflect.Int64:
		wrong = newLimits(elementOf(f)).checkNumber(value.Int())
	}
	if wrong != "" {
		v.refuse(at, "%s %s", v.shown(at, value), wrong)
	}
}

// elementOf is a list's field as one of its elements.
func elementOf(f field) field {
	if f.kind == kindInts {
		f.kind = kindInt
	}
	return f
}

// shown is a value for a message; of one made with ${} it shows what is
// written in the file.
func (v *validator) shown(at path, value reflect.Value) string {
	if o := v.origins[at.key]; o.written != "" {
		return "what " + quote(o.written) + " stands for"
	}
	if value.Kind() == reflect.String {
		return quote(value.String())
	}
	return plain(value.Interface())
}

// durationText is a duration without units that are zero: 2m, not 2m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// inOrder calls do for each entry of a map, by name.
func inOrder[T any](m map[string]T, do func(name string, value T)) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		do(name, m[name])
	}
}
