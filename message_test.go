package drakkar_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
)

func TestHeader_JSON(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		header drakkar.Header
		want   string
	}{
		{"Text", drakkar.Header{Key: "trace", Value: drakkar.Bytes("é")}, `{"k":"trace","v":"é"}`},
		{"Empty", drakkar.Header{Value: drakkar.Bytes{}}, `{"k":"","v":""}`},
		{"NullValue", drakkar.Header{Key: "k"}, `{"k":"k","v":null}`},
		{"KeyThatIsNoText", drakkar.Header{Key: "\xff\xfe", Value: drakkar.Bytes("\xff")}, `{"k":{"base64":"//4="},"v":{"base64":"/w=="}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			data, err := json.Marshal(tt.header)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(data), "histories of earlier versions hold text this way")
			var got drakkar.Header
			require.NoError(t, json.Unmarshal(data, &got))
			require.Equal(t, tt.header, got)
		})
	}
	var h drakkar.Header
	require.ErrorContains(t, json.Unmarshal([]byte(`{"k":1}`), &h), "decoding header")
}

// Keys are bytes to Kafka: whatever they hold, they come back.
func TestHeader_AnyKey(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		want := drakkar.Record{Headers: []drakkar.Header{{
			Key: string(rapid.SliceOf(rapid.Byte()).Draw(t, "key")), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
		}}}
		data, err := json.Marshal(want)
		require.NoError(t, err)
		var got drakkar.Record
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, want.Headers[0].Key, got.Headers[0].Key)
		require.Equal(t, []byte(want.Headers[0].Value), []byte(got.Headers[0].Value))
	})
}
