package executor

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/events"
)

// framings runs a test with each framing.
func framings(t *testing.T, test func(t *testing.T, framed func(func(*Config)) *testBundle)) {
	t.Helper()

	for _, framing := range []string{FramingLines, FramingLength} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()

			test(t, func(change func(*Config)) *testBundle {
				return setup(t, func(c *Config) {
					c.Resident.Framing = framing
					if change != nil {
						change(c)
					}
				})
			})
		})
	}
}

// one is a pool with one slot.
func one(c *Config) { c.Slots = 1 }

// ended waits until a number of resident programs have ended and tells why.
func (b *testBundle) ended(t *testing.T, n int) []events.ResidentEnded {
	t.Helper()

	eventually(t, func() bool { return len(of[events.ResidentEnded](b.events)) >= n }, "resident programs end")
	list := of[events.ResidentEnded](b.events)
	require.Len(t, list, n)
	return list
}

func TestNew_NamesResidentSettings(t *testing.T) {
	t.Parallel()

	_, err := New(Config{
		Slots: 1, TaskTimeout: 1, Mode: "daemon",
		Resident: Resident{Framing: "csv", StartTimeout: -1, MaxTasks: -1, MaxMemoryBytes: -1},
	}, Deps{})
	for _, key := range []string{"mode", "resident.framing", "resident.start_timeout", "resident.max_tasks", "resident.max_memory_bytes"} {
		require.ErrorContains(t, err, "executor."+key+":")
	}
}

func TestResident_Result(t *testing.T) {
	t.Parallel()

	framings(t, func(t *testing.T, framed func(func(*Config)) *testBundle) {
		b := framed(one)
		at := events.At{Topic: "in", Partition: 3, Offset: 7}
		task := ask(t, "both")
		before := time.Now()
		res, err := b.pool.Run(t.Context(), Job{Task: task, Attempt: 2, At: at})
		require.NoError(t, err)

		require.Equal(t, task, res.Task)
		require.Equal(t, 2, res.Attempt)
		require.Zero(t, res.ExitCode)
		require.Empty(t, res.Stdout)
		require.Equal(t, "pipe\nanswer\n", res.Stderr.String())
		require.Positive(t, res.PID)
		require.False(t, res.StartedAt.Before(before))
		require.Positive(t, res.Duration)
		require.False(t, res.StdoutTruncated || res.StderrTruncated)

		started := of[events.TaskStarted](b.events)
		require.Equal(t, []events.TaskStarted{{At: at, Task: task, Attempt: 2, Waited: started[0].Waited, Active: 1}}, started)
		require.Equal(t, []events.TaskCompleted{{At: at, Result: res}}, of[events.TaskCompleted](b.events))
		ready := of[events.ResidentStarted](b.events)
		require.Equal(t, []events.ResidentStarted{{PID: res.PID, Binary: task.Binary, Took: ready[0].Took}}, ready)

		// The same process takes the next ones.
		for i := range 20 {
			again := b.run(t, ask(t, "task"))
			require.Equal(t, res.PID, again.PID)
			require.Equal(t, "t "+strconv.Itoa(i+2), again.Stdout.String())
			require.Empty(t, again.Stderr)
		}
		require.Len(t, of[events.ResidentStarted](b.events), 1)
	})
}

// Whatever bytes there are, they arrive, in both directions.
func TestResident_AnyBytes(t *testing.T) {
	t.Parallel()

	framings(t, func(t *testing.T, framed func(func(*Config)) *testBundle) {
		b := framed(one)
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		large := strings.Repeat("\n\xff", 400_000)
		for _, text := range []string{"", "text", "a\nb\r\n", `"quoted" \ {}`, "ä\u2028€", "\xff\xfe", string(all), large} {
			task := ask(t, "stdin")
			task.Stdin = drakkar.Bytes(text)
			require.Equal(t, text, b.run(t, task).Stdout.String())
			if !strings.Contains(text, "\x00") {
				require.Equal(t, text, b.run(t, ask(t, "echo", text)).Stdout.String())
			}
		}
		require.Empty(t, b.run(t, ask(t, "stdin")).Stdout, "none is null")
		require.Len(t, of[events.ResidentStarted](b.events), 1)
	})
}

func TestResident_ExitCode(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	failed := b.fail(t, drakkar.TaskExit, Job{Task: ask(t, "code", "3")})
	require.Equal(t, "exit code 3: bad luck", failed.Message)
	require.Equal(t, 3, failed.Result.ExitCode)
	require.Equal(t, failed.Result.PID, b.run(t, ask(t, "count")).PID, "its program is well")
}

func TestResident_Output(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Slots, c.MaxOutputBytes = 1, 1000 })
	res := b.run(t, ask(t, "big", "1000"))
	require.Len(t, res.Stdout, 1000)
	require.False(t, res.StdoutTruncated)
	res = b.run(t, ask(t, "big", "500000"))
	require.Len(t, res.Stdout, 1000)
	require.Less(t, cap(res.Stdout), 2000, "the rest is not held")
	require.True(t, res.StdoutTruncated)
	require.False(t, res.StderrTruncated)
	res = b.run(t, ask(t, "stderr", strings.Repeat("e", 50_000)))
	require.Len(t, res.Stderr, 1000)
	require.True(t, res.StderrTruncated)
	require.Len(t, of[events.ResidentStarted](b.events), 1)
}

// What is written to stderr before the answer is the task's, to the last byte,
// and what is written after it is nobody's.
func TestResident_Stderr(t *testing.T) {
	t.Parallel()

	b := setup(t, one)
	for i := range 200 {
		text := strings.Repeat(strconv.Itoa(i)+" ", 1+i*20)
		require.Equal(t, text, b.run(t, ask(t, "stderr", text)).Stderr.String())
	}
	r := b.idle(t)
	b.run(t, ask(t, "late", "nobody's\n"))
	eventually(t, func() bool {
		unclaimed, _ := r.stderr.rest()
		return unclaimed == int64(len("nobody's\n"))
	}, "it is read")
	require.Empty(t, b.run(t, ask(t, "count")).Stderr)
	require.NoError(t, b.pool.Stop(t.Context()))
	require.EqualValues(t, len("nobody's\n"), b.ended(t, 1)[0].Unclaimed)
}

// idle returns the only resident program, which waits.
func (b *testBundle) idle(t *testing.T) *resident {
	t.Helper()

	pl := b.pool.life.places
	pl.mu.Lock()
	defer pl.mu.Unlock()

	require.Len(t, pl.idle, 1)
	return pl.idle[0]
}

// A program that breaks the protocol is ended, its task fails with what it
// said, and the next task has another program.
func TestResident_Misbehaves(t *testing.T) {
	t.Parallel()

	framings(t, func(t *testing.T, framed func(func(*Config)) *testBundle) {
		for _, tt := range []struct {
			name   string
			args   []string
			says   string // the message, and the detail of the event
			stdout string
		}{
			{"NoJSON", []string{"message", "hello"}, "its answer is none: invalid character 'h'", "hello"},
			{"HalfJSON", []string{"message", `{"id":1`}, "the JSON is not whole", `{"id":1`},
			{"Empty", []string{"message", ""}, "the JSON is not whole", ""},
			{"Null", []string{"message", "null"}, "has no id", "null"},
			{"NotUTF8", []string{"message", "\xff"}, "it is not UTF-8", "\xff"},
			{"TwoValues", []string{"message", `{"id":1,"exit_code":0} {}`}, "something behind the JSON", `{}`},
			{"Misspelt", []string{"message", `{"id":1,"exitcode":0}`}, `unknown field "exitcode"`, "exitcode"},
			{"NoExitCode", []string{"message", `{"id":1}`}, "no exit_code", `{"id":1}`},
			{"ExitCodeTooHigh", []string{"message", `{"id":1,"exit_code":256}`}, "256 is outside 0..255", "256"},
			{"ExitCodeNegative", []string{"message", `{"id":1,"exit_code":-1}`}, "-1 is outside 0..255", "-1"},
			{"BadBase64", []string{"message", `{"id":1,"exit_code":0,"stdout":{"base64":"?"}}`}, "base64", "?"},
			{"AnotherID", []string{"message", `{"id":2,"exit_code":0}`}, "it answered request 2, when it was asked 1", `"id":2`},
			{"Twice", []string{"twice"}, "more to stdout than its answer", `"exit_code":0`},
			{"Mute", []string{"mute"}, "closed its stdin or stdout and lived on", ""},
			{"TooMuch", []string{"big", "5000000"}, "a frame is too long", ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()

				b := framed(func(c *Config) { c.Slots, c.MaxOutputBytes = 1, 4096 })
				failed := b.fail(t, drakkar.TaskExit, Job{Task: ask(t, tt.args...)})
				require.Contains(t, failed.Message, tt.says)
				require.Equal(t, -1, failed.Result.ExitCode)
				require.Contains(t, failed.Result.Stdout.String(), tt.stdout)
				require.LessOrEqual(t, len(failed.Result.Stdout), 4096)
				require.Positive(t, failed.Result.PID)

				end := b.ended(t, 1)[0]
				require.Equal(t, reasonProtocol, end.Reason)
				require.Contains(t, end.Detail, tt.says)
				require.True(t, end.Ready)
				next := b.run(t, ask(t, "task"))
				require.NotEqual(t, failed.Result.PID, next.PID)
				require.Equal(t, "t 1", next.Stdout.String())
			})
		}
	})
}

// A text where a length should be is a length of a gigabyte: nothing waits for
// it, and the text is shown.
func TestResident_TextForALength(t *testing.T) {
	t.Parallel()

	b := setup(t, func(c *Config) { c.Resident.Framing = FramingLength })
	failed := b.fail(t, drakkar.TaskExit, Job{Task: ask(t, "raw", "Hello\n")})
	require.Contains(t, failed.Message, "a length of 1214606444 bytes")
	require.Equal(t, "Hello\n", failed.Result.Stdout.String())
}
