package drakkar_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
)

// checkBytes asserts that b survives JSON, alone and inside of other values,
// and that its length is never underestimated.
func checkBytes(t require.TestingT, b drakkar.Bytes) {
	own, err := b.MarshalJSON()
	require.NoError(t, err)
	require.LessOrEqual(t, len(own), b.EncodedLen())

	outer, err := json.Marshal(map[string]drakkar.Bytes{"b": b})
	require.NoError(t, err)
	require.LessOrEqual(t, len(outer)-len(`{"b":}`), b.EncodedLen())

	for _, data := range [][]byte{own, []byte(" " + string(own) + "\n")} {
		got := drakkar.Bytes("old")
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, b, got) // so nil stays nil, and empty stays empty
	}
	got := map[string]drakkar.Bytes{}
	require.NoError(t, json.Unmarshal(outer, &got))
	require.Equal(t, b, got["b"])
}

func TestBytes_Survive(t *testing.T) {
	t.Parallel()

	all := make(drakkar.Bytes, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, b := range []drakkar.Bytes{
		nil, {}, all, all[:128], drakkar.Bytes("\u2028\u2029<>&\"\\\x7f\ufffd😀"), drakkar.Bytes("null"),
		drakkar.Bytes(`{"base64":"x"}`), {0xff}, {0xed, 0xa0, 0x80},
	} {
		checkBytes(t, b)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.StringOf(rapid.RuneFrom([]rune("\x00\x1f\x7f\"\\<>&\u2028\u2029â€é\n"))), func(s string) []byte { return []byte(s) }),
		).Draw(t, "b")
		checkBytes(t, b)
	})
}

func FuzzBytes_Survive(f *testing.F) {
	for _, s := range []string{"", "text", "\xff\x00", "<\u2028>", `{"base64":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkBytes(t, b) })
}

// Whatever JSON is decoded, the result is an error or can be written again.
func FuzzBytes_UnmarshalJSON(f *testing.F) {
	for _, s := range []string{`null`, `""`, `"a\u2028\ud800"`, `{"base64":"AAE="}`, `{"base64":null}`, `{}`, `[1]`, `1`, ``, `{"base64":"!"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b drakkar.Bytes
		if err := b.UnmarshalJSON(data); err == nil {
			checkBytes(t, b)
		}
	})
}

func TestBytes_ReadWell(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		b    drakkar.Bytes
		want string
	}{
		{nil, `null`},
		{drakkar.Bytes{}, `""`},
		{drakkar.Bytes(`{"a":"<&>"}`), `"{\"a\":\"<&>\"}"`},
		{drakkar.Bytes("\xff"), `{"base64":"/w=="}`},
		{drakkar.Bytes("<<<<<<<<<<<<<<<<<<<<"), `"<<<<<<<<<<<<<<<<<<<<"`},
		{drakkar.Bytes("│──│—“x”│──│"), `"│──│—“x”│──│"`},
		{drakkar.Bytes("\x00\x01\x02\x03\x04\x05\x06\x07"), `{"base64":"AAECAwQFBgc="}`},
	} {
		got, err := tt.b.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, tt.want, string(got))
		require.Equal(t, string(tt.b), tt.b.String())
	}
}

func TestBytes_Refused(t *testing.T) {
	t.Parallel()

	for _, data := range []string{`1`, `[]`, `true`, `{}`, `{"base64":null}`, `{"base64":"!"}`, `{"base64":1}`, `"`, `{`} {
		var b drakkar.Bytes
		require.ErrorContains(t, b.UnmarshalJSON([]byte(data)), "decoding bytes", data)
	}
}

// The estimate is not absurdly high either: plain text costs what it is.
func TestBytes_EncodedLenOfText(t *testing.T) {
	t.Parallel()

	text := drakkar.Bytes("plain text, é and more")
	require.True(t, utf8.Valid(text))
	require.Equal(t, len(text)+2, text.EncodedLen())
}
