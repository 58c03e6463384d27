package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

//go:generate go run ./gen
//go:generate sh -c "mkdir -p ../docs && go run ./gen/reference > ../docs/configuration.md"

const referenceHead = `# Configuration

<!-- Generated from the comments and tags in package config: go generate ./config -->

Settings come from a YAML file, named by a flag or by ` + "`DRAKKAR_CONFIG`" + `, and from the environment, which wins. ` + "`drakkar config check FILE`" + ` reports all that is wrong with both at once; unknown settings are errors, with the nearest known name.

**Durations** have units: ` + "`30s`, `1m30s`, `500ms`" + `. Older names that end in ` + "`_seconds` or `_ms`" + ` take a number of that unit.

**Texts** may hold ` + "`${NAME}`, `${NAME:-default}` and `${file:/path}`" + `, the content of a file without the newline at its end; ` + "`$${`" + ` is a literal ` + "`${`" + `.

**Environment.** The name of a variable is ` + "`DRAKKAR_`" + ` and the keys in capitals with two underscores between them. Lists are comma separated or JSON; maps and whole sections may be JSON objects. In the name of a sink, ` + "`-` is written `_`" + `; a name the file does not have makes a new sink with small letters. Keys of ` + "`executor.env`, `handler.exec.env` and `options` of `sinks.custom`" + ` keep the case they are typed in. Of other maps, keys of the file are found whatever their case, with ` + "`_` for `-` and `.`" + `.

A section or setting without a value has its defaults.
`

// Reference is the description of all settings, as Markdown: what
// docs/configuration.md holds.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	referenceSection(&b, reflect.TypeFor[Config](), path{}, "")
	referenceRetired(&b)
	return b.String()
}

func referenceSection(b *strings.Builder, t reflect.Type, at path, prefix string) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", referenceTitle(at), strings.ReplaceAll(docs[t.Name()], "\n", "\n\n"))
	known := sectionOf(t).fields
	table := slices.DeleteFunc(slices.Clone(known), field.isNested)
	if len(table) > 0 {
		b.WriteString("\n| Setting | Type | Default | Range | Meaning | Environment |\n|---|---|---|---|---|---|\n")
	}
	for _, f := range table {
		referenceRow(b, f, prefix)
	}
	for _, f := range known {
		if !f.isNested() {
			continue
		}
		elem, child, below := f.typ, at.child(f.name), prefix+strings.ToUpper(f.name)+variableNest
		switch f.kind {
		case kindInstances:
			elem, child, below = f.typ.Elem(), path{key: child.key, text: child.text + ".<name>"}, below+"<NAME>"+variableNest
		case kindItems:
			elem, child, below = f.typ.Elem(), path{key: child.key, text: child.text + "[]"}, ""
		}
		referenceSection(b, elem, child, below)
	}
}

func referenceTitle(at path) string {
	if at.text == "" {
		return "General"
	}
	return "`" + at.text + "`"
}

func (f field) isNested() bool {
	return f.kind == kindSection || f.kind == kindInstances || f.kind == kindItems
}

func referenceRow(b *strings.Builder, f field, prefix string) {
	variable := ""
	switch {
	case prefix == "" && !strings.HasPrefix(f.goName, "Config."): // an entry of a list
	case f.kind == kindTexts:
		variable = code(variablePrefix + prefix + strings.ToUpper(f.name) + variableNest + "<KEY>")
	default:
		variable = code(variablePrefix + prefix + strings.ToUpper(f.name))
	}
	cells := []string{code(f.name), f.typeName(), f.defaultText(), rangeText(f), f.meaning(), variable}
	for i, c := range cells {
		cells[i] = strings.NewReplacer("|", `\|`, "\n", "<br>").Replace(c)
	}
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

func code(s string) string { return "`" + s + "`" }

func (f field) typeName() string {
	return map[kind]string{
		kindString: "text", kindBool: "true or false", kindInt: "whole number", kindDuration: "duration",
		kindStrings: "list of texts", kindInts: "list of whole numbers", kindTexts: "map of texts",
	}[f.kind]
}

func (f field) defaultText() string {
	switch {
	case f.required && !f.hasDef:
		return "required"
	case f.pointer:
		return "none"
	case f.hasDef:
		return code(f.def)
	}
	return map[kind]string{
		kindString: "empty", kindBool: code("false"), kindInt: code("0"), kindDuration: code("0s"),
		kindStrings: "empty", kindInts: "empty", kindTexts: "empty",
	}[f.kind]
}

func rangeText(f field) string {
	l := newLimits(elementOf(f))
	if len(l.choices) == 0 {
		return l.String()
	}
	shown := make([]string, len(l.choices))
	for i, c := range l.choices {
		shown[i] = code(c)
		if c == "" {
			shown[i] = "empty"
		}
	}
	return strings.Join(shown, ", ")
}

func (f field) meaning() string {
	text := docs[f.goName]
	if len(f.aliases) > 0 {
		text += " Older names: " + code(strings.Join(f.aliases, "`, `")) + "."
	}
	switch f.secret {
	case secretAll:
		text += " Never printed."
	case secretURL:
		text += " Printed without user, password and query."
	case secretNames:
		text += " Values of passwords, keys and tokens are never printed."
	}
	return text
}

func referenceRetired(b *strings.Builder) {
	b.WriteString("\n## Settings of older files\n\nThese are accepted with a warning.\n\n| Setting | Advice |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(retired)) {
		fmt.Fprintf(b, "| %s | %s |\n", code(key), retired[key])
	}
}
