package replay

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
)

// The test's binary is the process that is killed when these name its queue,
// its state and the file that it delivers to.
const (
	envQueue = "DRAKKARTEST_REPLAY_QUEUE"
	envState = "DRAKKARTEST_REPLAY_STATE"
	envSink  = "DRAKKARTEST_REPLAY_SINK"
)

// lineSink appends ids to a file, and says so on stdout before it returns.
type lineSink struct{ path string }

func (s lineSink) Deliver(_ context.Context, batch []sinks.Payload) error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range batch {
		if _, err := fmt.Fprintln(f, p.ID); err != nil {
			return err
		}
	}
	fmt.Println("delivered", len(batch))
	return nil
}

func (lineSink) Close(context.Context) error { return nil }

func replayLines(queue, state, path string) (Report, error) {
	q, err := dlq.OpenFiles(queue, dlq.ReadOptions{})
	if err != nil {
		return Report{}, err
	}
	return Run(context.Background(), Options{Queue: q, Dir: state, Rate: 400, Target: ToSink(Sinks{
		Configured: func(sinks.Ref) bool { return true },
		Open: func(_ context.Context, ref sinks.Ref) (*sinks.Set, error) {
			policy := sinks.Policy{Breaker: config.CircuitBreaker{FailureThreshold: 9}}
			return sinks.NewSet([]sinks.Instance{{Ref: ref, Sink: lineSink{path}, Policy: policy}}, events.Discard)
		},
	})})
}

func readLines(t *testing.T, path string) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		out = append(out, s.Text())
	}
	return out
}

// Wherever SIGKILL meets a replay, the next run goes on there: nothing is left
// out, and only the batch that was under way can be sent twice.
func TestRun_Killed(t *testing.T) {
	t.Parallel()

	const letters, batch = 500, 100
	for kill := 1; kill <= 3; kill++ {
		b := setup(t, many(letters)...)
		path := b.state + ".sink"
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = []string{envQueue + "=" + b.queue, envState + "=" + b.state, envSink + "=" + path}
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		said := bufio.NewScanner(stdout)
		for range kill {
			require.True(t, said.Scan(), said.Err())
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())

		rep, err := replayLines(b.queue, b.state, path)
		require.NoError(t, err)
		require.True(t, rep.Complete)
		require.Equal(t, letters, rep.Replayed)
		times := map[string]int{}
		for _, id := range readLines(t, path) {
			times[id]++
		}
		require.Len(t, times, letters)
		doubled := 0
		for _, n := range times {
			doubled += n - 1
		}
		require.LessOrEqual(t, doubled, batch)
		audited := map[string]bool{}
		for _, l := range b.audit(t) {
			audited[l.ID] = true
		}
		require.Len(t, audited, letters, "what was replayed is in the audit")
	}
}
