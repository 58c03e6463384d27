package files

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drakkar-go/drakkar/sinks"
)

// fileLines is what one batch writes to one file.
type fileLines struct {
	text    []byte
	indices []int // of its payloads in the batch
}

// lines groups a batch by file. Paths are in the order in which the batch names
// them first. Payloads that can never be written are failures.
func (s *Sink) lines(batch []sinks.Payload) (paths []string, lines map[string]*fileLines, failures []sinks.Failure) {
	lines = map[string]*fileLines{}
	for i, p := range batch {
		name, err := cleanPath(p.Target)
		var line []byte
		if err == nil {
			line, err = s.line(p)
		}
		if err != nil {
			failures = append(failures, sinks.Failure{Index: i, Class: sinks.Permanent, Err: err})
			continue
		}
		l, known := lines[name]
		if !known {
			l = &fileLines{}
			lines[name] = l
			paths = append(paths, name)
		}
		l.text = append(append(l.text, line...), '\n')
		l.indices = append(l.indices, i)
	}
	return paths, lines, failures
}

// cleanPath returns the one spelling of a path, or why it cannot be used. What
// it does not see, such as symbolic links which lead outside, os.Root refuses.
func cleanPath(p string) (string, error) {
	switch {
	case p == "":
		return "", errors.New("the path is empty: set Path to a file below base_path")
	case strings.ContainsRune(p, 0):
		return "", fmt.Errorf("the path %q holds a NUL byte", p)
	case !utf8.ValidString(p):
		return "", fmt.Errorf("the path %q is not valid UTF-8", p)
	case path.IsAbs(p):
		return "", fmt.Errorf("the path %q is absolute: it must be relative to base_path", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return "", fmt.Errorf("the path %q holds ..: it must stay below base_path", p)
	case strings.HasSuffix(p, "/") || path.Clean(p) == ".":
		return "", fmt.Errorf("the path %q names a directory", p)
	}
	return path.Clean(p), nil
}

// line is the payload's line, without its end. JSON that is spread over several
// lines is written on one; any other value must be a single line already.
func (s *Sink) line(p sinks.Payload) ([]byte, error) {
	line := []byte(p.Value)
	if bytes.ContainsRune(line, '\n') {
		var buf bytes.Buffer
		if err := json.Compact(&buf, line); err != nil {
			return nil, errors.New("the value holds a line break and is not JSON: it would be several lines")
		}
		line = buf.Bytes()
	}
	if s.cfg.IDField == "" {
		return line, nil
	}
	return withID(line, s.cfg.IDField, p.ID)
}

// withID puts the id into a JSON object as its first field. Anything else stays
// as it is.
func withID(line []byte, field, id string) ([]byte, error) {
	object := bytes.TrimLeft(line, " \t\r")
	if len(object) == 0 || object[0] != '{' {
		return line, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return line, nil //nolint:nilerr // not JSON after all: a line of text takes no id
	}
	if _, taken := fields[field]; taken {
		return nil, fmt.Errorf("the value has a field %q of its own, which id_field is set to: rename one of them", field)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, text := range []string{field, id} {
		if err := enc.Encode(text); err != nil {
			return nil, fmt.Errorf("encoding the delivery id: %w", err)
		}
		b.Truncate(b.Len() - 1) // the encoder ends with a line break
		if i == 0 {
			b.WriteByte(':')
		}
	}
	if len(fields) > 0 {
		b.WriteByte(',')
	}
	b.Write(object[1:])
	return b.Bytes(), nil
}

func sortFailures(failures []sinks.Failure) {
	slices.SortFunc(failures, func(a, b sinks.Failure) int { return cmp.Compare(a.Index, b.Index) })
}
