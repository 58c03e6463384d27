package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var outOfRange = regexp.MustCompile(` is (outside|less than) -?\d`)

// rangeProblem is what is said about one setting being out of its range. Rules
// between settings, which a bound may break, are another matter.
func rangeProblem(t *testing.T, key, file string, environ ...string) (text string) {
	t.Helper()
	_, _, err := Parse([]byte(file), "f.yaml", environ)
	if err == nil {
		return ""
	}
	var problems Problems
	require.ErrorAs(t, err, &problems)
	for _, p := range problems {
		require.NotContains(t, p.Text, "is not a setting", "the test looks in the wrong place: %v", p)
		if p.Key == key && outOfRange.MatchString(p.Text) {
			text = p.Text
		}
	}
	return text
}

// probe is a value of a setting beside one of its bounds.
type probe struct {
	value  int64
	inside bool
}

func (l leaf) probes() (probes []probe) {
	limits := newLimits(elementOf(l.field))
	if limits.low != nil {
		probes = append(probes, probe{*limits.low, true}, probe{*limits.low - 1, false})
	}
	if limits.high != nil {
		probes = append(probes, probe{*limits.high, true}, probe{*limits.high + 1, false})
	}
	return probes
}

func (l leaf) text(n int64) string {
	if l.field.kind == kindDuration {
		return time.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// Every bound of every number and duration holds, to the last unit, and the
// problem begins with the key, or the variable, as it was typed.
func TestEveryBound(t *testing.T) {
	t.Parallel()

	count := 0
	for _, l := range leaves() {
		for _, p := range l.probes() {
			count++
			t.Run(l.key(l.field.name)+"="+l.text(p.value), func(t *testing.T) {
				t.Parallel()
				key, value := l.key(l.field.name), any(l.text(p.value))
				if l.field.kind == kindInts {
					key, value = key+"[0]", []any{value}
				}
				inFile := rangeProblem(t, key, written(t, l.with(l.field.name, value)))
				require.Equal(t, p.inside, inFile == "", inFile)
				if !p.inside {
					require.True(t, strings.HasPrefix(inFile, durationOr(l, p.value)+" is "), inFile)
				}
				variable, ok := l.variable(l.field.name)
				if !ok {
					return
				}
				shown := variable
				if l.field.kind == kindInts {
					shown += "[0]"
				}
				require.Equal(t, inFile, rangeProblem(t, shown, written(t, l.without()), variable+"="+l.text(p.value)))
			})
		}
	}
	require.Greater(t, count, 200, "the test looks in the wrong place")
}

// durationOr is a number as problems show it.
func durationOr(l leaf, n int64) string {
	if l.field.kind == kindDuration {
		return durationText(time.Duration(n))
	}
	return l.text(n)
}

// Ranges of durations hold for their older names too, which have a unit of
// their own: half a unit below the lowest is refused.
func TestBoundsOfOlderNames(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		limits := newLimits(l.field)
		for _, alias := range l.field.aliases {
			u, ok := unit(alias)
			if !ok || limits.low == nil {
				continue
			}
			for value, inside := range map[float64]bool{
				float64(*limits.low) / float64(u):   true,
				float64(*limits.low)/float64(u) - 1: false,
			} {
				text := strconv.FormatFloat(value, 'f', -1, 64)
				problem := rangeProblem(t, l.key(alias), written(t, l.with(alias, text)))
				require.Equal(t, inside, problem == "", "%s: %s: %s", l.key(alias), text, problem)
			}
		}
	}
}

// A choice is taken as it is written in the reference, and no other way; the
// problem lists all of them.
func TestEveryChoice(t *testing.T) {
	t.Parallel()

	refused := func(t *testing.T, l leaf, choice string) []string {
		t.Helper()
		_, _, err := Parse([]byte(written(t, l.with(l.field.name, choice))), "f.yaml", nil)
		if err == nil {
			return nil
		}
		var found []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if strings.HasPrefix(line, l.key(l.field.name)+": "+quote(choice)+" is not one of ") {
				found = append(found, line)
			}
		}
		return found
	}
	count := 0
	for _, l := range leaves() {
		choices := newLimits(l.field).choices
		if l.field.kind != kindString || len(choices) == 0 {
			continue
		}
		count++
		t.Run(l.key(l.field.name), func(t *testing.T) {
			t.Parallel()
			for _, choice := range choices {
				require.Empty(t, refused(t, l, choice))
				if choice == "" {
					continue
				}
				for _, wrong := range []string{choice + " ", choice + "x", strings.ToUpper(choice[:1]) + strings.ToLower(choice[1:]) + "_"} {
					lines := refused(t, l, wrong)
					require.Len(t, lines, 1, wrong)
					require.Contains(t, lines[0], newLimits(l.field).list())
				}
			}
		})
	}
	require.Greater(t, count, 10, "the test looks in the wrong place")
}

// Nothing of another shape is taken for a value: each kind says what it wants
// instead, under the key as it was typed.
func TestEveryWrongShape(t *testing.T) {
	t.Parallel()

	wrong := map[kind]map[string]any{
		kindString:   {"want text, not a list": []any{"a"}, "want text, not a section": tree{"a": "b"}},
		kindBool:     {"is neither true nor false": "perhaps", "want true or false, not a list": []any{true}},
		kindInt:      {"is not a whole number": "1.5", "want a whole number, not a section": tree{"a": 1}},
		kindDuration: {"is not a duration such as": "soon", "has no unit, write 90s for seconds": 90, "not a list": []any{"1s"}},
		kindStrings:  {"want a list, not a single value": "a", "want a list, not a section": tree{"a": "b"}},
		kindInts:     {"want a list, not a single value": 1, "is not a whole number": []any{1, "x"}},
		kindTexts:    {"want a section, lines of key: value, not a list": []any{"a=b"}, "not a single value": "a=b"},
	}
	for _, l := range leaves() {
		t.Run(l.key(l.field.name), func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, wrong[l.field.kind])
			for want, value := range wrong[l.field.kind] {
				if _, isList := value.([]any); isList && l.field.joined {
					continue // it takes both
				}
				_, _, err := Parse([]byte(written(t, l.with(l.field.name, value))), "f.yaml", nil)
				require.ErrorContains(t, err, want)
				require.ErrorContains(t, err, l.key(l.field.name))
			}
		})
	}
}

// A setting without a value has its default, whatever its kind.
func TestEverySettingLeftEmpty(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		file, section := l.around()
		if _, needed := section[l.field.name]; needed || companions[l.field.name] != nil {
			continue
		}
		_, _, err := Parse([]byte(written(t, file)), "f.yaml", nil)
		if err != nil {
			continue // a delivery that needs the setting
		}
		section[l.field.name] = nil
		require.Equal(t, mustParse(t, written(t, l.without())), mustParse(t, written(t, file)), l.key(l.field.name))
	}
}

// A misspelt key is met with the right one, in every section and in every name
// of a variable.
func TestEveryMisspeltSetting(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		name := l.field.name
		if len(name) < 5 {
			continue // one letter off can be another setting
		}
		typo := name[:len(name)-2] + name[len(name)-1:]
		_, _, err := Parse([]byte(written(t, l.with(typo, "x"))), "f.yaml", nil)
		want := fmt.Sprintf("%s: is not a setting, the nearest that is one is %s ", l.key(typo), name)
		require.ErrorContains(t, err, want)
		if variable, ok := l.variable(typo); ok {
			_, _, err = Parse([]byte(written(t, l.without())), "f.yaml", []string{variable + "=x"})
			right, _ := l.variable(name)
			require.ErrorContains(t, err, fmt.Sprintf("%s: is not a setting, the nearest that is one is %s", variable, right))
		}
	}
}
