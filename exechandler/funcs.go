package exechandler

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// printFunc ends every pipeline that prints; the compiler puts it there.
const printFunc = "_print"

var errNothing = errors.New(`there is nothing to print: the value is missing or null; use default "..." for another`)

func functions() template.FuncMap {
	return template.FuncMap{
		printFunc: printed,
		"json":    encodeJSON,
		"default": func(alternative, v any) any {
			if v == nil || v == "" {
				return alternative
			}
			return v
		},
		"join":   join,
		"lower":  textFunc(strings.ToLower),
		"upper":  textFunc(strings.ToUpper),
		"trim":   textFunc(strings.TrimSpace),
		"base64": textFunc(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"number": number,

		truthFunc: truth,
		"eq":      equal,
		"ne":      unequal,
		"lt":      ordered(func(c int) bool { return c < 0 }),
		"le":      ordered(func(c int) bool { return c <= 0 }),
		"gt":      ordered(func(c int) bool { return c > 0 }),
		"ge":      ordered(func(c int) bool { return c >= 0 }),

		// Those of text/template print nil as a word.
		"html":     textFunc(template.HTMLEscapeString),
		"js":       textFunc(template.JSEscapeString),
		"urlquery": textFunc(url.QueryEscape),
		"print":    printFuncOf(fmt.Sprint),
		"println":  printFuncOf(fmt.Sprintln),
		"printf":   printf,
	}
}

// printed is a value as text.
func printed(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errNothing
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case map[string]any, []any:
		return encodeJSON(v)
	}
	return fmt.Sprint(v), nil
}

func encodeJSON(v any) (string, error) {
	if s, ok := v.(string); ok && !utf8.ValidString(s) {
		return "", errors.New("the text is not valid UTF-8 and cannot be JSON: use base64")
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(buf.String(), "\n"), nil
}

// join takes any list, so that it works on those of split-like functions of
// text/template too.
func join(separator string, list any) (string, error) {
	items := reflect.ValueOf(list)
	if !items.IsValid() || items.Kind() != reflect.Slice && items.Kind() != reflect.Array {
		return "", fmt.Errorf("join takes a list, and this is %T", list)
	}
	parts := make([]string, items.Len())
	for i := range parts {
		part, err := printed(items.Index(i).Interface())
		if err != nil {
			return "", fmt.Errorf("element %d: %w", i, err)
		}
		parts[i] = part
	}
	return strings.Join(parts, separator), nil
}

// textFunc is f for whatever can be printed.
func textFunc(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := printed(v)
		if err != nil {
			return "", err
		}
		return f(s), nil
	}
}

// printFuncOf is f for values that can be printed.
func printFuncOf(f func(...any) string) func(...any) (string, error) {
	return func(vs ...any) (string, error) {
		for i, v := range vs {
			s, err := printed(v)
			if err != nil {
				return "", err
			}
			vs[i] = s
		}
		return f(vs...), nil
	}
}

// misprint is what fmt writes instead of a value that does not fit its verb.
var misprint = regexp.MustCompile(`%!.?\(`)

// printf refuses values that do not fit the format.
func printf(format string, vs ...any) (string, error) {
	var given strings.Builder
	given.WriteString(format)
	for _, v := range vs {
		s, err := printed(v)
		if err != nil {
			return "", err
		}
		given.WriteString(s)
	}
	out := fmt.Sprintf(format, vs...)
	if misprint.MatchString(out) && !misprint.MatchString(given.String()) {
		return "", fmt.Errorf("printf %q does not fit its values: it gives %q", format, out)
	}
	return out, nil
}

// number makes a number of text, and of a number of JSON one that printf takes.
func number(v any) (any, error) {
	s, err := printed(v)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%.40q is not a number", s)
	}
	return f, nil
}
