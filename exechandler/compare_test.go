package exechandler

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCompare(t *testing.T) {
	t.Parallel()

	n := func(s string) json.Number { return json.Number(s) }
	at := time.Unix(1, 0)
	for _, tt := range []struct {
		a, b  any
		order string // of a to b: <, =, >; or "=" and "!" where there is none
	}{
		{n("9"), n("10"), "<"},
		{n("1.0"), n("1"), "="},
		{n("1e3"), 1000, "="},
		{n("1.1"), 1.1, "="},
		{n("9007199254740993"), n("9007199254740992"), ">"},
		{n("18446744073709551615"), uint64(18446744073709551615), "="},
		{n("-0"), 0, "="},
		{n("1e999999999"), n("2"), ">"},
		{n(strings.Repeat("9", 1_000_000)), n("2"), ">"},
		{n("-3"), 2.5, "<"},
		{3, 2.5, ">"},
		{int32(3), int64(3), "="},
		{"a", "b", "<"},
		{"10", "9", "<"}, // text
		{n("5"), "5", "=!"},
		{n("5"), "5.0", "!"},
		{nil, nil, "=!"},
		{nil, "", "!"},
		{n("0"), nil, "!"},
		{true, true, "=!"},
		{true, false, "!"},
		{at, at, "=!"},
		{true, "true", "?"},
		{n("1"), true, "?"},
		{[]any{}, []any{}, "?"},
		{map[string]any{}, n("1"), "?"},
	} {
		same, err := equal(tt.a, tt.b)
		if tt.order == "?" {
			require.ErrorContains(t, err, "cannot be compared", "%v %v", tt.a, tt.b)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, strings.Contains(tt.order, "="), same, "%v %v", tt.a, tt.b)
		differs, err := unequal(tt.a, tt.b)
		require.NoError(t, err)
		require.Equal(t, !same, differs)
		for name, holds := range map[string]string{"lt": "<", "le": "<=", "gt": ">", "ge": ">="} {
			got, err := functions()[name].(func(any, any) (bool, error))(tt.a, tt.b)
			if strings.Contains(tt.order, "!") {
				require.ErrorContains(t, err, "have no order", "%v %v", tt.a, tt.b)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, strings.Contains(holds, tt.order), got, "%v %s %v", tt.a, name, tt.b)
		}
	}

	oneOf, err := equal(n("3"), 1, 2, 3)
	require.NoError(t, err)
	require.True(t, oneOf)
	_, err = equal(n("3"))
	require.Error(t, err)
}

func TestTruth(t *testing.T) {
	t.Parallel()

	for _, zero := range []string{"0", "-0", "0.0", "-0.00", "0e7", "0E-3"} {
		require.Equal(t, 0, truth(json.Number(zero)), zero)
	}
	for _, v := range []any{json.Number("1"), json.Number("-0.01"), json.Number("10"), json.Number("1e0"), "0", "", nil, false} {
		require.Equal(t, v, truth(v))
	}
}
