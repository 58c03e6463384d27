package postgres

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFields(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name, object string
		want         []field
	}{
		{"Empty", " {\n} ", nil},
		{"Every", `{"a":1,"b":"x","c":null,"d":true}`, []field{{"a", []byte("1")}, {"b", []byte(`"x"`)}, {"c", []byte("null")}, {"d", []byte("true")}}},
		{"EscapedName", `{"\u0061\"":1}`, []field{{`a"`, []byte("1")}}},
		{"LastOneCounts", `{"a":1,"b":2,"a":3}`, []field{{"a", []byte("3")}, {"b", []byte("2")}}},
		{"Nested", `{"a":{"x":[1,{"y":"}"}]},"b":[[],"]\"["]}`, []field{{"a", []byte(`{"x":[1,{"y":"}"}]}`)}, {"b", []byte(`[[],"]\"["]`)}}},
		{"Spaces", "\t{ \"a\" :\r\n 1.50 , \"b\" : [ ] } ", []field{{"a", []byte("1.50")}, {"b", []byte("[ ]")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got, err := fields(nil, []byte(tt.object), names{})
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	for _, object := range []string{"", " ", "[]", `"{}"`, "{", `{"a"}`, `{"a":1}x`, "null"} {
		_, err := fields(nil, []byte(object), names{})
		require.ErrorIs(t, err, errNoObject, object)
	}
}

// What the standard library reads is what we read.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"a":{"b":"}"}}`, ` { "\u0000" : [ 1 , "\\" ] } `, `{"":"\""}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		var want map[string]json.RawMessage
		err := json.Unmarshal(object, &want)
		got, gotErr := fields(nil, object, names{})
		if err != nil || want == nil {
			require.Error(t, gotErr)
			return
		}
		require.NoError(t, gotErr)
		names := map[string]bool{}
		for _, g := range got {
			// The standard library mends what is not UTF-8.
			name := string(bytes.ToValidUTF8([]byte(g.name), []byte("\ufffd")))
			names[name] = true
			if name == g.name {
				require.Equal(t, string(want[name]), string(g.value))
			}
		}
		require.LessOrEqual(t, len(names), len(got))
		for name := range want {
			if !strings.ContainsRune(name, '\ufffd') {
				require.True(t, names[name], name)
			}
		}
	})
}
