package workflows_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/workflows"
)

// Dead letters of a window full of large messages stay below Temporal's limit:
// values that do not fit travel as coordinates.
func TestLimits_SourcesOfDeadLetters(t *testing.T) {
	t.Parallel()

	b := setup(t)
	in := window(6)
	in.DeadLetter = true
	for i := range in.Messages[:5] {
		in.Messages[i].Value = bytes.Repeat([]byte("x"), 200<<10)
	}
	in.Messages[5].Value = nil // a tombstone stays one
	b.run(t, in)

	total, whole := 0, 0
	for _, m := range b.delivered[0].Sources[:5] {
		total += m.EncodedLen()
		if m.Value != nil {
			whole++
		} else {
			require.Equal(t, 200<<10, m.Size)
		}
	}
	require.Equal(t, 2, whole)
	require.Less(t, total, 1<<20)
	require.Zero(t, b.delivered[0].Sources[5].Size)
}

// A hook that looks at more than an activity may be given is called inside the
// workflow's own step, whatever the setting.
func TestLimits_LargeCollect(t *testing.T) {
	t.Parallel()

	b := setup(t)
	b.set.Hooks.WindowComplete = true
	b.set.LocalCollect = false
	b.execute = func(in workflows.ExecuteInput) (workflows.Outcome, error) {
		out := succeed(in)
		out.Records.Items[0].Result = &drakkar.Result{Stdout: bytes.Repeat([]byte("x"), 300<<10)}
		out.Records.Bytes = 300 << 10
		return out, nil
	}
	local := 0
	b.env.SetOnLocalActivityStartedListener(onLocal(workflows.CollectActivity, &local))
	b.run(t, window(8))
	require.Equal(t, 1, local)

	small := setup(t)
	small.set.Hooks.WindowComplete = true
	small.set.LocalCollect = false
	local = 0
	small.env.SetOnLocalActivityStartedListener(onLocal(workflows.CollectActivity, &local))
	small.run(t, window(8))
	require.Zero(t, local)
}
