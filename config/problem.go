package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with the configuration. Its text holds no secret.
type Problem struct {
	// Key is the setting as the user typed it, the name of the environment
	// variable it came from, or the name of the file when the file as a whole
	// cannot be read.
	Key string

	// Text says what is wrong and what to do.
	Text string

	// File and Line are where the setting stands. They are empty and 0 when
	// it did not come from a file.
	File string
	Line int
}

// Error is "key: text (file:line)".
func (p Problem) Error() string {
	s := p.Key + ": " + p.Text
	switch {
	case p.File == "":
		return s
	case p.Line == 0:
		return s + " (" + p.File + ")"
	default:
		return fmt.Sprintf("%s (%s:%d)", s, p.File, p.Line)
	}
}

// Problems are all things wrong with a configuration, those of the file first,
// by line. It is never empty when it is an error.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a [Problem].
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, problem := range p {
		errs[i] = problem
	}
	return errs
}

// err is nil when there are no problems.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			-cmp.Compare(a.File, b.File), // those of a file before those without
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Text, b.Text),
		)
	})
	return p
}

// Warning is a setting which is accepted but has no effect.
type Warning struct {
	// Key, File and Line are those of [Problem].
	Key  string
	File string
	Line int

	// Text says what to use instead.
	Text string
}

// String is "key: text (file:line)".
func (w Warning) String() string {
	return Problem{Key: w.Key, Text: w.Text, File: w.File, Line: w.Line}.Error()
}

// origin is where a setting came from.
type origin struct {
	// key is the path as typed, or the name of the variable.
	key  string
	file string
	line int

	// written is the value before ${} was replaced, empty when there was none.
	// Problems show it instead of the value, which may hold a secret.
	written string
}

// problem is about the setting, or about the file when o is its root.
func (o origin) problem(format string, args ...any) Problem {
	return Problem{Key: cmp.Or(o.key, o.file), Text: fmt.Sprintf(format, args...), File: o.file, Line: o.line}
}

// at is the origin of something below o, as it is called there.
func (o origin) at(key string, line int) origin {
	return origin{key: key, file: o.file, line: line}
}

// quoteMax is how much of a wrong value a problem shows.
const quoteMax = 60

func quote(s string) string {
	if len(s) > quoteMax {
		s = strings.ToValidUTF8(s[:quoteMax], "") + "…"
	}
	return strconv.Quote(s)
}

// printable is a name as it is shown: quoted when it holds characters that
// would garble a line.
func printable(name string) string {
	if name != "" && strconv.Quote(name) == `"`+name+`"` {
		return name
	}
	return strconv.Quote(name)
}

// escape makes a name safe for the merge, which ignores case: every byte but
// small letters, digits, - and _ is written as %xx, and no byte at all as %.
func escape(name string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// nearest is the known name which takes the fewest edits to get to.
func nearest(name string, known []string) string {
	best, distance := "", -1
	for _, k := range known {
		d := editDistance(strings.ToLower(name), strings.ToLower(k))
		if distance < 0 || d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
