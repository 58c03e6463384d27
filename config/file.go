package config

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// readFile reads the configuration file into the file layer.
func (l loader) readFile(data []byte, name string) {
	root := origin{file: name}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		l.problems = append(l.problems, syntaxProblem(root, err))
		return
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		l.problems = append(l.problems, root.at("", second.Line).problem("holds more than one document"))
		return
	}
	n := resolve(doc.Content[0])
	if isNull(n) {
		return
	}
	r := reader{findings: l.findings, layer: l.file, expand: l.expand}
	r.section(reflect.TypeFor[Config](), n, path{}, root)
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

	// A password which begins with * reads as the name of an anchor, and the
	// message would show it.
	yamlAnchor = regexp.MustCompile(`(?s)^unknown anchor .*`)
)

func syntaxProblem(root origin, err error) Problem {
	text := err.Error()
	found := yamlLine.FindStringSubmatch(text)
	if len(found) == 2 {
		text = text[len(found[0]):]
		root.line, _ = strconv.Atoi(found[1])
	}
	text = yamlAnchor.ReplaceAllString(text, "unknown anchor (quote texts that begin with *)")
	return root.problem("is not valid YAML: %s", text)
}
