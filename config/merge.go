package config

import (
	"maps"
	"reflect"
	"slices"

	"github.com/spf13/viper"
)

// given is a setting as one source gives it.
type given struct {
	value  any // nil unsets a pointer
	origin origin

	// items are the origins of what a list of sections holds.
	items map[string]origin
}

// findings are what was read so far.
type findings struct {
	file, environ map[string]*given

	// names holds, for each map by its key, the keys that the user chose.
	names map[string]map[string]bool

	// failed are settings whose value is wrong: a rule about them and others
	// would only confuse.
	failed map[string]bool

	// strays are variables which are no settings.
	strays   []Problem
	problems Problems
	warnings []Warning
}

func newFindings() *findings {
	return &findings{
		file:    map[string]*given{},
		environ: map[string]*given{},
		names:   map[string]map[string]bool{},
		failed:  map[string]bool{},
	}
}

func (f *findings) name(parent path, name string) {
	if f.names[parent.key] == nil {
		f.names[parent.key] = map[string]bool{}
	}
	f.names[parent.key][name] = true
}

func (f *findings) fail(at path, p Problem) {
	f.failed[at.key] = true
	f.problems = append(f.problems, p)
}

// decoder puts together a struct from what was found.
//
// It uses viper for one thing, which viper is good at: three layers, the
// defaults below the file below the environment, and for each setting the one
// that wins. Viper neither reads the file nor the environment and decodes
// nothing, because it ignores the case of keys, forgets lines, drops null and
// does not find keys of maps in the environment. It sees flat keys, which
// [path] makes safe, and values it does not look into.
type decoder struct {
	*findings
	layers *viper.Viper

	// origins are those of the settings that won, defaults left out.
	origins map[string]origin
}

// noDelimiter keeps viper from taking keys apart: no key holds it.
const noDelimiter = "\x00"

func newDecoder(f *findings) *decoder {
	d := &decoder{
		findings: f,
		layers:   viper.NewWithOptions(viper.KeyDelimiter(noDelimiter)),
		origins:  map[string]origin{},
	}
	file := make(map[string]any, len(f.file))
	for key, g := range f.file {
		file[key] = g
	}
	// It has no way to fail but a map of another type.
	_ = d.layers.MergeConfigMap(file)
	for key, g := range f.environ {
		d.layers.Set(key, g)
	}
	return d
}

// winner is the setting from the highest layer that has it.
func (d *decoder) winner(key string) (*given, bool) {
	g, ok := d.layers.Get(key).(*given)
	return g, ok
}

func (d *decoder) section(v reflect.Value, at path) {
	d.took(at.presence(), at.key)
	for _, f := range sectionOf(v.Type()).fields {
		d.field(f, v.FieldByIndex(f.index), at.child(f.name))
	}
}

// took notes where a setting or section came from.
func (d *decoder) took(key, as string) {
	if g, ok := d.winner(key); ok && g.origin != (origin{}) {
		d.origins[as] = g.origin
		maps.Copy(d.origins, g.items)
	}
}

func (d *decoder) field(f field, v reflect.Value, at path) {
	switch f.kind {
	case kindSection:
		d.subsection(f, v, at)
	case kindInstances:
		d.instances(v, at)
	case kindTexts:
		d.texts(v, at)
	default:
		d.leaf(f, v, at)
	}
}

func (d *decoder) subsection(f field, v reflect.Value, at path) {
	if f.pointer {
		if _, ok := d.winner(at.presence()); !ok {
			return
		}
		v.Set(reflect.New(f.typ))
		v = v.Elem()
	}
	d.section(v, at)
}

func (d *decoder) instances(v reflect.Value, at path) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range d.chosen(at) {
		instance := reflect.New(v.Type().Elem()).Elem()
		d.section(instance, at.entry(name))
		v.SetMapIndex(reflect.ValueOf(name), instance)
	}
}

func (d *decoder) texts(v reflect.Value, at path) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range d.chosen(at) {
		entry := at.entry(name)
		if g, ok := d.winner(entry.key); ok {
			v.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(g.value))
			d.took(entry.key, entry.key)
		}
	}
}

func (d *decoder) chosen(at path) []string {
	return slices.Sorted(maps.Keys(d.names[at.key]))
}

func (d *decoder) leaf(f field, v reflect.Value, at path) {
	d.setDefault(f, at)
	g, ok := d.winner(at.key)
	if !ok {
		return
	}
	d.took(at.key, at.key)
	switch value := reflect.ValueOf(g.value); {
	case g.value == nil:
		v.SetZero()
	case f.pointer:
		v.Set(reflect.New(f.typ))
		v.Elem().Set(value.Convert(f.typ))
	default:
		v.Set(value.Convert(v.Type()))
	}
}

// setDefault fills the lowest layer.
func (d *decoder) setDefault(f field, at path) {
	if !f.hasDef {
		return
	}
	defaults := map[string]*given{}
	r := reader{findings: d.findings, layer: defaults}
	r.value(slot{field: f, name: f.name, at: at}, variableNode(f, f.def))
	if g, ok := defaults[at.key]; ok {
		d.layers.SetDefault(at.key, g)
	}
}
