package exechandler

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFunctions(t *testing.T) {
	t.Parallel()

	call := func(f, v any) (any, error) {
		switch f := f.(type) {
		case func(any) (string, error):
			return f(v)
		case func(any) (any, error):
			return f(v)
		default:
			return f.(func(any, any) any)("alternative", v), nil
		}
	}
	n := json.Number("1.50")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name  string
		value any
		want  any
		err   string
	}{
		{printFunc, "text", "text", ""},
		{printFunc, "", "", ""},
		{printFunc, nil, nil, "there is nothing to print"},
		{printFunc, n, "1.50", ""},
		{printFunc, 0.1, "0.1", ""},
		{printFunc, 1e21, "1000000000000000000000", ""},
		{printFunc, int64(math.MaxInt64), "9223372036854775807", ""},
		{printFunc, true, "true", ""},
		{printFunc, at, "2026-01-02T03:04:05.000000006+01:00", ""},
		{printFunc, map[string]any{"b": nil, "a": n}, `{"a":1.50,"b":null}`, ""},
		{printFunc, []any{nil, "<"}, `[null,"<"]`, ""},

		{"json", nil, "null", ""},
		{"json", "a\"b\n", `"a\"b\n"`, ""},
		{"json", "\xff", nil, "not valid UTF-8"},
		{"json", math.NaN(), nil, "unsupported value"},
		{"json", func() {}, nil, "unsupported type"},

		{"default", nil, "alternative", ""},
		{"default", "", "alternative", ""},
		{"default", "x", "x", ""},
		{"default", false, false, ""}, // a value like any other
		{"default", json.Number("0"), json.Number("0"), ""},
		{"default", []any{}, []any{}, ""},

		{"number", json.Number("12"), int64(12), ""},
		{"number", "12", int64(12), ""},
		{"number", json.Number("1e3"), 1000.0, ""},
		{"number", "9223372036854775808", uint64(1 << 63), ""},
		{"number", "18446744073709551616", 18446744073709551616.0, ""},
		{"number", "nan", nil, "is not a number"},
		{"number", "-Inf", nil, "is not a number"},
		{"number", 7, int64(7), ""},
		{"number", nil, nil, "there is nothing to print"},
		{"number", "", nil, `"" is not a number`},
		{"number", "1 ", nil, "is not a number"},
		{"number", []any{1}, nil, "is not a number"},

		{"lower", "ÄB", "äb", ""},
		{"upper", json.Number("1e5"), "1E5", ""},
		{"trim", " \t\r\na b\n", "a b", ""},
		{"trim", nil, nil, "there is nothing to print"},
		{"base64", "\xff\x00", "/wA=", ""},
		{"base64", "", "", ""},
		{"urlquery", "a b&c=é", "a+b%26c%3D%C3%A9", ""},
		{"html", `<a b="c">`, "&lt;a b=&#34;c&#34;&gt;", ""},
		{"js", "</script>'", `\u003C/script\u003E\'`, ""},
	} {
		got, err := call(functions()[tt.name], tt.value)
		if tt.err != "" {
			require.ErrorContains(t, err, tt.err, "%s %v", tt.name, tt.value)
			continue
		}
		require.NoError(t, err, "%s %v", tt.name, tt.value)
		require.Equal(t, tt.want, got, "%s %v", tt.name, tt.value)
	}
}

// printf says when a value does not fit, instead of printing that it does not:
// the word would end up in a sink. Text that looks like it is no such word.
func TestPrintfFits(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		format string
		values []any
		want   string
		err    bool
	}{
		{"%s-%s", []any{"a", json.Number("1")}, "a-1", false},
		{"%5.1f", []any{1.25}, "  1.2", false},
		{"%d", []any{json.Number("1")}, "", true},
		{"%d", []any{"1"}, "", true},
		{"%s", nil, "", true},
		{"%s", []any{"a", "b"}, "", true},
		{"%s", []any{nil}, "", true},
		{"%z", []any{"a"}, "", true},
		{"%", nil, "%!(NOVERB)", true},
		{"%s", []any{"%!d(string=x)"}, "%!d(string=x)", false},
		{"100%%", nil, "100%", false},
	} {
		got, err := printf(tt.format, tt.values...)
		if tt.err {
			require.Error(t, err, tt.format)
			continue
		}
		require.NoError(t, err, tt.format)
		require.Equal(t, tt.want, got)
	}
}

func TestJoinTakesLists(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		list any
		want string
		err  string
	}{
		{[]any{"a", json.Number("1"), true}, "a,1,true", ""},
		{[]any{}, "", ""},
		{[]string{"a", "b"}, "a,b", ""},
		{[2]int{1, 2}, "1,2", ""},
		{[]any{[]any{"a"}, map[string]any{"b": nil}}, `["a"],{"b":null}`, ""},
		{[]any{"a", nil}, "", "element 1: there is nothing to print"},
		{"text", "", "join takes a list, and this is string"},
		{nil, "", "join takes a list, and this is <nil>"},
		{map[string]any{}, "", "join takes a list"},
	} {
		got, err := join(",", tt.list)
		if tt.err != "" {
			require.ErrorContains(t, err, tt.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tt.want, got)
	}
}
