package bench

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/bench/handler"
)

// A message is one that the handler can decode, and as long as asked for.
func TestMessage(t *testing.T) {
	t.Parallel()

	for _, size := range []int{0, 10, 30, 1024} {
		p := &pipeline{cfg: pipelineConfig{value: size}}
		text := p.message(1234)
		var o handler.Order
		require.NoError(t, json.Unmarshal(text, &o), string(text))
		require.Equal(t, 1234, o.N)
		if size > 20 {
			require.Len(t, text, size)
		} else {
			require.JSONEq(t, `{"n":1234}`, string(text))
		}
	}
}

func TestUntilNext(t *testing.T) {
	t.Parallel()

	require.Equal(t, committedEvery, untilNext(0))
	require.Equal(t, committedEvery, untilNext(time.Second), "never more often")
	require.Equal(t, 100*time.Millisecond, untilNext(10*time.Second), "a hundredth")
	require.Equal(t, time.Second, untilNext(time.Hour), "a pipeline that stands still is noticed")
}
