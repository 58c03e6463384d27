package config

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// kind is the shape of a setting's value.
type kind int

const (
	kindUnknown kind = iota
	kindString
	kindBool
	kindInt
	kindDuration
	kindStrings   // list of strings
	kindInts      // list of whole numbers
	kindTexts     // map from name to text
	kindSection   // struct, or pointer to one
	kindInstances // map from name to struct
	kindItems     // list of structs
)

// Values of the secret tag.
const (
	secretAll   = "true"
	secretURL   = "url"
	secretNames = "names"
)

// Values of the keys tag.
const (
	keysExact    = "exact"
	keysHeader   = "header"
	keysProperty = "property"
)

// field is one setting or section, as its tags describe it.
type field struct {
	name     string       // the key in the file
	goName   string       // Type.Field, to find its comment
	index    []int        // for reflect.Value.FieldByIndex
	typ      reflect.Type // without pointer
	kind     kind
	pointer  bool
	def      string
	hasDef   bool
	limits   string
	aliases  []string
	secret   string
	required bool
	keys     string
	joined   bool // a list is taken as its texts with commas between them
}

// section is what a struct of this package says about its keys.
type section struct {
	fields []field
}

// sectionOf reads the tags of a struct type.
func sectionOf(t reflect.Type) section {
	var s section
	for i := range t.NumField() {
		sf := t.Field(i)
		name, option, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if option == "inline" {
			for _, f := range sectionOf(sf.Type).fields {
				f.index = append([]int{i}, f.index...)
				s.fields = append(s.fields, f)
			}
			continue
		}
		s.fields = append(s.fields, newField(t, sf, name))
	}
	return s
}

func newField(t reflect.Type, sf reflect.StructField, name string) field {
	f := field{
		name:     name,
		goName:   t.Name() + "." + sf.Name,
		index:    sf.Index,
		typ:      sf.Type,
		limits:   sf.Tag.Get("range"),
		secret:   sf.Tag.Get("secret"),
		required: sf.Tag.Get("required") == "true",
		keys:     sf.Tag.Get("keys"),
		joined:   sf.Tag.Get("joined") == "true",
	}
	f.def, f.hasDef = sf.Tag.Lookup("default")
	if a := sf.Tag.Get("alias"); a != "" {
		f.aliases = strings.Split(a, ",")
	}
	if f.typ.Kind() == reflect.Pointer {
		f.pointer, f.typ = true, f.typ.Elem()
	}
	f.kind = kindOf(f.typ)
	return f
}

func kindOf(t reflect.Type) kind {
	if t == reflect.TypeFor[time.Duration]() {
		return kindDuration
	}
	switch t.Kind() {
	case reflect.String:
		return kindString
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int64:
		return kindInt
	case reflect.Struct:
		return kindSection
	case reflect.Slice:
		return listKind(t.Elem())
	case reflect.Map:
		if t.Elem().Kind() == reflect.Struct {
			return kindInstances
		}
		return kindTexts
	default:
		return kindUnknown
	}
}

func listKind(elem reflect.Type) kind {
	switch elem.Kind() {
	case reflect.Struct:
		return kindItems
	case reflect.Int:
		return kindInts
	default:
		return kindStrings
	}
}

// lookup finds the field with a name or alias, exactly as it is written.
func (s section) lookup(name string) (field, bool) {
	return s.find(func(n string) bool { return n == name })
}

// lookupFold is lookup for names of environment variables.
func (s section) lookupFold(name string) (f field, known string, ok bool) {
	f, ok = s.find(func(n string) bool {
		if !strings.EqualFold(n, name) {
			return false
		}
		known = n
		return true
	})
	return f, known, ok
}

func (s section) find(is func(name string) bool) (field, bool) {
	for _, f := range s.fields {
		if slices.ContainsFunc(f.names(), is) {
			return f, true
		}
	}
	return field{}, false
}

// names are all keys of the section that a file may have.
func (s section) names() []string {
	var names []string
	for _, f := range s.fields {
		names = append(names, f.names()...)
	}
	return names
}

func (f field) names() []string { return append([]string{f.name}, f.aliases...) }

// unit is the unit of a number under a name, when the name ends in one.
func unit(name string) (time.Duration, bool) {
	switch {
	case strings.HasSuffix(name, "_seconds"):
		return time.Second, true
	case strings.HasSuffix(name, "_ms"):
		return time.Millisecond, true
	default:
		return 0, false
	}
}

// path names a setting: key identifies it in the merge, text is what people
// read. They differ where a key of a map holds capitals, dots or the like,
// which the merge would not tell apart.
type path struct{ key, text string }

// setting names a setting by its keys, none of which is a key of a map.
func setting(key string) path { return path{key: key, text: key} }

func (p path) child(name string) path { return p.join(".", name, name) }

// entry is the path of a key that the user chose.
func (p path) entry(name string) path { return p.join(".", escape(name), printable(name)) }

func (p path) item(suffix string) path { return p.join("", suffix, suffix) }

func (p path) join(sep, key, text string) path {
	if p.key == "" {
		return path{key: key, text: text}
	}
	return path{key: p.key + sep + key, text: p.text + sep + text}
}

// presence is the key which says that a section exists although nothing in it
// may be set.
func (p path) presence() string { return p.key + ".!" }
