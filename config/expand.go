package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// expander replaces ${} in the texts of the file:
//
//	${NAME}            the environment variable
//	${NAME:-default}   the default when it is not set or empty
//	${file:/a/path}    what the file holds, without the newline at its end
//	$${                a literal ${
//
// What was put in is not looked at again.
type expander struct {
	vars map[string]string

	// used are the variables that the file names.
	used map[string]bool

	readFile func(path string) ([]byte, error)
}

func newExpander(environ []string) *expander {
	e := &expander{vars: map[string]string{}, used: map[string]bool{}, readFile: readSecretFile}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		e.vars[name] = value
	}
	return e
}

func (e *expander) replace(text string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			text = after
			continue
		}
		out.WriteString(before)
		expression, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("has a ${ without }, write $${ for a literal ${")
		}
		value, err := e.evaluate(expression)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (e *expander) evaluate(expression string) (string, error) {
	if strings.Contains(expression, "${") {
		return "", errors.New("has a ${} inside of another, which is not possible")
	}
	if path, ok := strings.CutPrefix(expression, "file:"); ok {
		return e.content(path)
	}
	name, fallback, hasFallback := strings.Cut(expression, ":-")
	if !variableName.MatchString(name) {
		return "", errors.New("has a ${} around something that is not the name of a variable, write $${ for a literal ${")
	}
	e.used[name] = true
	value, set := e.vars[name]
	switch {
	case hasFallback:
		return cmp.Or(value, fallback), nil
	case !set:
		return "", fmt.Errorf("the environment variable %s is not set, set it or write ${%s:-default}", name, name)
	default:
		return value, nil
	}
}

func (e *expander) content(path string) (string, error) {
	data, err := e.readFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// secretFileMax bounds what ${file:} takes in.
const secretFileMax = 1 << 20

// readSecretFile reads a regular file: anything else could block or be
// endless.
func readSecretFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading ${file:}: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading ${file:}: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading ${file:}: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, secretFileMax+1))
	if err != nil {
		return nil, fmt.Errorf("reading ${file:}: %w", err)
	}
	if len(data) > secretFileMax {
		return nil, fmt.Errorf("reading ${file:}: %s is larger than %d bytes", path, secretFileMax)
	}
	return data, nil
}
