package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limits are what the range tag allows: one of several texts, or what lies
// between two numbers or durations.
type limits struct {
	text    string
	choices []string
	low     *int64
	high    *int64
}

// newLimits reads a range tag. A malformed one allows everything; a test of
// the tags finds it.
func newLimits(f field) limits {
	l := limits{text: f.limits}
	low, high, isRange := strings.Cut(f.limits, "..")
	switch {
	case f.limits == "":
	case isRange && f.kind != kindString:
		l.low, l.high = bound(f.kind, low), bound(f.kind, high)
	default:
		l.choices = strings.Split(f.limits, "|")
	}
	return l
}

func bound(k kind, text string) *int64 {
	if k == kindDuration {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil
		}
		return new(int64(d))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// checkNumber says what is wrong with a number or duration, or nothing.
func (l limits) checkNumber(n int64) string {
	switch {
	case l.low != nil && l.high == nil && n < *l.low:
		return "is less than " + strings.TrimSuffix(l.text, "..")
	case l.low != nil && n < *l.low, l.high != nil && n > *l.high:
		return "is outside " + l.text
	default:
		return ""
	}
}

// checkText says what is wrong with a text, or nothing.
func (l limits) checkText(s string) string {
	if len(l.choices) == 0 || slices.Contains(l.choices, s) {
		return ""
	}
	return "is not one of " + l.list()
}

// list is the choices for people.
func (l limits) list() string {
	shown := slices.Clone(l.choices)
	for i, c := range shown {
		if c == "" {
			shown[i] = `""`
		}
	}
	return strings.Join(shown, ", ")
}

// String is the range for the reference.
func (l limits) String() string {
	if len(l.choices) > 0 {
		return l.list()
	}
	if l.low != nil && l.high == nil {
		return fmt.Sprintf("at least %s", strings.TrimSuffix(l.text, ".."))
	}
	return l.text
}
