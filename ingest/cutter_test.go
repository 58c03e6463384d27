package ingest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// Whatever arrives, and however it is cut: every message is in exactly one
// window, in order, and no window of more than one message is over its bounds.
func TestCutter(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		c := cutter{
			maxMessages: rapid.IntRange(1, 6).Draw(t, "messages"), maxBytes: rapid.IntRange(50, 600).Draw(t, "bytes"),
		}
		var queue []workflows.Message
		var offset int64
		for range rapid.IntRange(1, 30).Draw(t, "queued") {
			offset += rapid.Int64Range(1, 4).Draw(t, "gap")
			queue = append(queue, workflows.Message{
				Offset: offset, Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
			})
		}
		var cut []workflows.Message
		for rest := queue; len(rest) > 0; {
			n, size := c.cut(rest)
			require.Positive(t, n)
			require.LessOrEqual(t, n, c.maxMessages)
			if n > 1 {
				require.LessOrEqual(t, size, c.maxBytes)
			}
			if n < len(rest) && n < c.maxMessages {
				require.Greater(t, size+rest[n].EncodedLen(), c.maxBytes, "the window could hold another message")
			}
			encoded, err := json.Marshal(rest[:n])
			require.NoError(t, err)
			require.LessOrEqual(t, len(encoded), size+n+2, "the estimate is no upper bound")
			cut, rest = append(cut, rest[:n]...), rest[n:]
		}
		require.Equal(t, queue, cut)
	})
}

func TestTravelling(t *testing.T) {
	t.Parallel()

	const inline = 1024
	big, huge := bytes.Repeat([]byte("x"), inline+1), bytes.Repeat([]byte{0xff}, 2<<20)
	for _, tt := range []struct {
		name     string
		in, want workflows.Message
	}{
		{"AsItIs", workflows.Message{Offset: 7, Key: huge[:9], Value: big[1:]}, workflows.Message{Offset: 7, Key: huge[:9], Value: big[1:]}},
		{"LargeValue", workflows.Message{Key: []byte("k"), Value: big}, workflows.Message{Key: []byte("k"), Size: inline + 1}},
		{"Tombstone", workflows.Message{Key: []byte("k")}, workflows.Message{Key: []byte("k")}},
		{"HugeKey", workflows.Message{Offset: 3, Key: huge, Timestamp: 5}, workflows.Message{Offset: 3, Timestamp: 5, Size: 2 << 20}},
		{
			"HugeHeaders",
			workflows.Message{Key: []byte("k"), Value: big, Headers: []drakkar.Header{{Key: "h", Value: huge}}},
			workflows.Message{Size: 2<<20 + inline + 3},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got := travelling(tt.in, inline)
			require.Equal(t, tt.want, got)
			require.Less(t, got.EncodedLen(), maxAlone)
		})
	}
}

func TestHysteresis(t *testing.T) {
	t.Parallel()

	h := hysteresis{high: load{10, 100}, low: load{4, 40}}
	for i, step := range []struct {
		load   load
		paused bool
	}{
		{load{9, 99}, false}, {load{10, 0}, true}, {load{9, 50}, true}, {load{4, 41}, true},
		{load{5, 0}, true}, {load{4, 40}, false}, {load{9, 99}, false}, {load{1, 100}, true}, {load{0, 0}, false},
	} {
		require.Equal(t, step.paused, h.update(step.load), "step %d", i)
	}
}

// Whatever is committed by whomever: what counts as ours comes back as it was.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"v":1}`, `{"v":2,"e":"x"}`, `{"v":"1"}`, `{"v":1,"p":"p","t":"t","e":"e","w":3,"o":5}`,
		`{"v":1,"e":"e","w":9,"o":5}`, `[1]`, `null`, `{"v":1,"p":7}`,
		metadata{Pipeline: "p", TopicID: "t", Epoch: "0-20260101-1", Window: 1, Offset: 2}.String(),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ours, err := parseMetadata(s)
		if err != nil || !ours {
			require.Zero(t, m)
			return
		}
		require.NotEmpty(t, m.Epoch)
		require.GreaterOrEqual(t, m.Window, int64(0))
		require.LessOrEqual(t, m.Window, m.Offset)
		again, ours, err := parseMetadata(m.String())
		require.NoError(t, err)
		require.True(t, ours)
		require.Equal(t, m, again)
	})
}

// Values that do not travel are read by the executor all at once: they are
// counted too.
func TestCutter_LargeValues(t *testing.T) {
	t.Parallel()

	var queue []workflows.Message
	for i := range 20 {
		queue = append(queue, workflows.Message{Offset: int64(i), Size: 5 << 20})
	}
	c := cutter{maxMessages: 500, maxBytes: 1 << 20}
	n, _ := c.cut(queue)
	require.Equal(t, 3, n)
	n, _ = c.cut([]workflows.Message{{Size: 100 << 20}})
	require.Equal(t, 1, n, "one that is larger than the limit stands alone")
}
