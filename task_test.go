package drakkar_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar"
)

// anyBytes are strings of any bytes, text or not.
func anyBytes() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

func TestTask_SurvivesJSON(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		task := drakkar.Task{
			ID:            rapid.String().Draw(t, "id"),
			Args:          rapid.SliceOfN(anyBytes(), 1, 4).Draw(t, "args"),
			Env:           rapid.MapOfN(rapid.String(), anyBytes(), 1, 3).Draw(t, "env"),
			Binary:        anyBytes().Draw(t, "binary"),
			Dir:           anyBytes().Draw(t, "dir"),
			Mode:          rapid.SampledFrom([]drakkar.TaskMode{"", drakkar.ModeSpawn, drakkar.ModeResident}).Draw(t, "mode"),
			Timeout:       time.Duration(rapid.Int64().Draw(t, "timeout")),
			Priority:      rapid.Ptr(rapid.Float64Range(-1e300, 1e300), true).Draw(t, "priority"),
			Labels:        rapid.MapOfN(rapid.String(), rapid.String(), 1, 2).Draw(t, "labels"),
			SourceOffsets: rapid.SliceOfN(rapid.Int64(), 1, 3).Draw(t, "offsets"),
			ParentID:      rapid.String().Draw(t, "parent"),
		}
		if rapid.Bool().Draw(t, "stdin?") {
			task.Stdin = drakkar.Bytes(anyBytes().Draw(t, "stdin"))
		}
		if rapid.Bool().Draw(t, "precomputed?") {
			task.Precomputed = &drakkar.Precomputed{ExitCode: rapid.Int().Draw(t, "code"), Duration: time.Second}
			if s := anyBytes().Draw(t, "stdout"); s != "" {
				task.Precomputed.Stdout = drakkar.Bytes(s)
			}
		}
		if rapid.Bool().Draw(t, "retry?") {
			task.Retry = &drakkar.RetryPolicy{MaxAttempts: 3, InitialInterval: time.Second, MaxInterval: time.Minute}
		}
		data, err := json.Marshal(task)
		require.NoError(t, err)
		got := drakkar.Task{ID: "old", Args: []string{"old"}, Stdin: drakkar.Bytes("old"), Env: map[string]string{"old": ""}}
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, task, got)
	})
}

func TestTask_JSON(t *testing.T) {
	t.Parallel()

	t.Run("ReadsWell", func(t *testing.T) {
		t.Parallel()

		task := drakkar.Task{ID: "0-1-0", Args: []string{"-e", "a b"}, Binary: "/bin/grep", SourceOffsets: []int64{1}}
		data, err := json.Marshal(task)
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"0-1-0","args":["-e","a b"],"binary":"/bin/grep","offsets":[1]}`, string(data))
	})
	t.Run("NoStdinIsNotEmptyStdin", func(t *testing.T) {
		t.Parallel()

		for _, stdin := range []drakkar.Bytes{nil, {}} {
			data, err := json.Marshal(drakkar.Task{Stdin: stdin})
			require.NoError(t, err)
			var got drakkar.Task
			require.NoError(t, json.Unmarshal(data, &got))
			require.Equal(t, stdin, got.Stdin)
		}
	})
	t.Run("MetadataAsJSON", func(t *testing.T) {
		t.Parallel()

		data, err := json.Marshal(drakkar.Task{Metadata: map[string]any{"n": 1, "s": []string{"a"}, "o": struct{ X *int }{}}})
		require.NoError(t, err)
		var got drakkar.Task
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, map[string]any{"n": 1.0, "s": []any{"a"}, "o": map[string]any{"X": nil}}, got.Metadata)
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()

		var task drakkar.Task
		require.ErrorContains(t, json.Unmarshal([]byte(`{"args":[1]}`), &task), "decoding task")
	})
}

func FuzzTask_JSON(f *testing.F) {
	f.Add([]byte(`{"id":"a","args":["x",{"base64":"/w=="}],"stdin":"","env":{"A":"b"},"offsets":[1,2]}`))
	f.Add([]byte(`{"stdin":null,"args":[null],"metadata":{"a":[1e9]},"precomputed":{"stdout":"x"},"retry":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second drakkar.Task
		if json.Unmarshal(data, &first) != nil {
			return
		}
		once, err := json.Marshal(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(once, &second))
		twice, err := json.Marshal(second)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
		require.Equal(t, first.Args, second.Args)
	})
}

// explosive panics when it is encoded.
type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("boom") }

func TestCheckTasks(t *testing.T) {
	t.Parallel()

	inWindow := func(o int64) bool { return o >= 10 && o < 20 }
	task := func(id string, offsets ...int64) drakkar.Task { return drakkar.Task{ID: id, SourceOffsets: offsets} }
	nan, inf, fine := math.NaN(), math.Inf(1), -2.5
	for _, tt := range []struct {
		name  string
		tasks []drakkar.Task
		want  []drakkar.Task
		err   string
	}{
		{name: "None"},
		{name: "Fine", tasks: []drakkar.Task{task("a", 10), task("b", 10)}, want: []drakkar.Task{task("a", 10), task("b", 10)}},
		{name: "FillsInIDs", tasks: []drakkar.Task{task("", 11), task("a", 12), task("", 12, 10)}, want: []drakkar.Task{task("3-11-w0", 11), task("a", 12), task("3-10-w2", 10, 12)}},
		{name: "SortsOffsets", tasks: []drakkar.Task{task("a", 12, 10, 12, 11, 10)}, want: []drakkar.Task{task("a", 10, 11, 12)}},
		{name: "NoMessage", tasks: []drakkar.Task{task("a", 10), task("b")}, err: `task 1 ("b") names no message: make it with msg.Task`},
		{name: "OutsideOfTheWindow", tasks: []drakkar.Task{task("a", 10, 20)}, err: `task 0 ("a") names offset 20, which is not a message of this window`},
		{name: "SameID", tasks: []drakkar.Task{task("a", 10), task("b", 10), task("a", 11)}, err: `tasks 0 and 2 have the same id "a"`},
		{name: "SameAsAFilledIn", tasks: []drakkar.Task{task("", 10), task("3-10-w0", 10)}, err: "tasks 0 and 1 have the same id"},
		{name: "IDIsNoText", tasks: []drakkar.Task{task("\xff", 10)}, err: "its id is not valid UTF-8"},
		{name: "ParentIDIsNoText", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, ParentID: "\xff"}}, err: "its id is not valid UTF-8"},
		{name: "EnvNameIsNoText", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, Env: map[string]string{"\xff": ""}}}, err: "in its Env is not valid UTF-8"},
		{name: "ModeUnknown", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, Mode: "daemon"}}, err: `its Mode is "daemon", which is neither spawn nor resident`},
		{name: "ModeFine", tasks: []drakkar.Task{{ID: "a", SourceOffsets: []int64{10}, Mode: drakkar.ModeResident}}, want: []drakkar.Task{{ID: "a", SourceOffsets: []int64{10}, Mode: drakkar.ModeResident}}},
		{name: "PriorityNaN", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, Priority: &nan}}, err: "its Priority is NaN"},
		{name: "PriorityInfinite", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, Priority: &inf}}, err: "its Priority is +Inf"},
		{name: "PriorityFine", tasks: []drakkar.Task{{ID: "a", SourceOffsets: []int64{10}, Priority: &fine}}, want: []drakkar.Task{{ID: "a", SourceOffsets: []int64{10}, Priority: &fine}}},
		{name: "Metadata", tasks: []drakkar.Task{{ID: "a", SourceOffsets: []int64{10}, Metadata: map[string]any{"f": func() {}}}}, err: `task 0 ("a"): encoding its Metadata: json: unsupported type`},
		{name: "MetadataPanics", tasks: []drakkar.Task{{SourceOffsets: []int64{10}, Metadata: map[string]any{"f": explosive{}}}}, err: "encoding its Metadata panicked: boom"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			err := drakkar.CheckTasks(tt.tasks, 3, inWindow)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, tt.tasks)
		})
	}
}

// The offsets that a handler may keep are not changed under its hands.
func TestCheckTasks_LeavesSharedOffsets(t *testing.T) {
	t.Parallel()

	shared := []int64{12, 11, 11}
	tasks := []drakkar.Task{{ID: "a", SourceOffsets: shared}}
	require.NoError(t, drakkar.CheckTasks(tasks, 0, func(int64) bool { return true }))
	require.Equal(t, []int64{12, 11, 11}, shared)
}
