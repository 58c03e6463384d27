package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
)

// field is a member of a JSON object. The value is JSON.
type field struct {
	name  string
	value []byte
}

var errNoObject = errors.New("the value is not a JSON object")

// fields adds the members of a JSON object in their order, with the last value
// of a name that comes twice. The values are parts of the argument.
func fields(out []field, object []byte, known names) ([]field, error) {
	rest := space(object)
	if len(rest) == 0 || rest[0] != '{' || !json.Valid(object) {
		return nil, errNoObject
	}
	for rest = space(rest[1:]); rest[0] != '}'; {
		n := stringEnd(rest)
		name, err := known.unquote(rest[:n])
		if err != nil {
			return nil, err
		}
		rest = space(space(rest[n:])[1:]) // behind the colon
		n = valueEnd(rest)
		out = put(out, field{name, rest[:n]})
		if rest = space(rest[n:]); rest[0] == ',' {
			rest = space(rest[1:])
		}
	}
	return out, nil
}

func put(fs []field, f field) []field {
	for i := range fs {
		if fs[i].name == f.name {
			fs[i].value = f.value
			return fs
		}
	}
	return append(fs, f)
}

// space is b behind its white space.
func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// names are texts that have come before: those of columns come with every row.
type names map[string]string

// maxNames bounds what is remembered, for objects whose keys are data.
const maxNames = 1000

// unquote is the text of a JSON string.
func (n names) unquote(quoted []byte) (name string, err error) {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		return name, json.Unmarshal(quoted, &name)
	}
	bare := quoted[1 : len(quoted)-1]
	if name, ok := n[string(bare)]; ok {
		return name, nil
	}
	name = string(bare)
	if n != nil && len(n) < maxNames {
		n[name] = name
	}
	return name, nil
}

// stringEnd is the length of the string that b begins with, quotes included.
func stringEnd(b []byte) int {
	i := 1
	for b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

// valueEnd is the length of the value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			if i += stringEnd(b[i:]) - 1; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			switch depth {
			case 0: // of the object around
				return i
			case 1:
				return i + 1
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
}
