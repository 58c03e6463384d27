package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar reads one value that is not null.
func (r reader) scalar(s slot, n *yaml.Node) (any, origin, bool) {
	what := wanted(s)
	if isNull(n) {
		r.fail(s.at, s.origin.problem("has no value, want %s", what))
		return nil, s.origin, false
	}
	if !r.wants(s, n, yaml.ScalarNode, what) {
		return nil, s.origin, false
	}
	text, o := n.Value, s.origin
	if r.expand != nil && strings.Contains(text, "${") {
		expanded, err := r.expand.replace(text)
		if err != nil {
			r.fail(s.at, o.problem("%v", err))
			return nil, o, false
		}
		o.written, text = text, expanded
	}
	v, err := parseScalar(s, text)
	if err != nil {
		shown := quote(text)
		if o.written != "" {
			shown = "what " + quote(o.written) + " stands for"
		}
		r.fail(s.at, o.problem("%s %v", shown, err))
		return nil, o, false
	}
	return v, o, true
}

func parseScalar(s slot, text string) (any, error) {
	switch s.field.kind {
	case kindBool:
		return parseBool(text)
	case kindInt:
		n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
		if err != nil {
			return nil, fmt.Errorf("is not %s", wanted(s))
		}
		return n, nil
	case kindDuration:
		return parseDuration(s, text)
	default:
		return text, nil
	}
}

func parseBool(text string) (any, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	default:
		return nil, errors.New("is neither true nor false")
	}
}

func parseDuration(s slot, text string) (any, error) {
	number, err := strconv.ParseFloat(text, 64)
	isNumber := err == nil
	u, hasUnit := unit(s.name)
	switch {
	case hasUnit && isNumber:
		d := math.Round(number * float64(u)) // 1.001 is a little less than that in binary
		if !(d > -maxDuration && d < maxDuration) {
			return nil, errors.New("is out of range")
		}
		return time.Duration(d), nil
	case hasUnit:
		return nil, fmt.Errorf("is not %s; durations with a unit go under %s", wanted(s), s.field.name)
	}
	d, err := time.ParseDuration(text)
	if _, seconds := time.ParseDuration(text + "s"); isNumber && seconds == nil {
		return nil, fmt.Errorf("has no unit, write %ss for seconds", text)
	}
	if err != nil {
		return nil, fmt.Errorf("is not %s", wanted(s))
	}
	return d, nil
}

// maxDuration is a little less than the longest time.Duration, 292 years.
const maxDuration = float64(1 << 62)

// wanted says what a setting takes.
func wanted(s slot) string {
	switch s.field.kind {
	case kindBool:
		return "true or false"
	case kindInt:
		return "a whole number"
	case kindDuration:
		switch u, _ := unit(s.name); u {
		case time.Second:
			return "a number of seconds"
		case time.Millisecond:
			return "a number of milliseconds"
		}
		return "a duration such as 30s or 1h30m"
	default:
		return "text"
	}
}
