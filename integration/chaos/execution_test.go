package chaos

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadExecutions(t *testing.T) {
	t.Parallel()

	t.Run("BeginningsAndEnds", func(t *testing.T) {
		t.Parallel()

		all, err := readExecutions(strings.NewReader(strings.Join([]string{
			"start 5 executor-2/1 77 3000000",
			"start 4 executor-1/1 10 1000000",
			"end 4 executor-1/1 10 1000000 1500000",
			"start 5 executor-1/1 11 2000000",
			"end 5 executor-1/1 11 2000000 2100000",
		}, "\n")))
		require.NoError(t, err)
		require.Equal(t, map[int][]execution{
			4: {{n: 4, run: "executor-1/1", pid: 10, began: time.Unix(1, 0), ended: time.UnixMilli(1500)}},
			5: {
				{n: 5, run: "executor-1/1", pid: 11, began: time.Unix(2, 0), ended: time.UnixMilli(2100)},
				{n: 5, run: "executor-2/1", pid: 77, began: time.Unix(3, 0)},
			},
		}, all)
	})

	t.Run("StrangeLines", func(t *testing.T) {
		t.Parallel()

		for _, text := range []string{"", "stop 1 e/1 2 3", "start 1 e/1 2", "end 1 e/1 2 3", "start one e/1 2 3", "end 1 e/1 2 3 x"} {
			_, err := readExecutions(strings.NewReader(text + "\n"))
			require.ErrorContains(t, err, "line 1", text)
		}
	})
}

func TestLongestPause(t *testing.T) {
	t.Parallel()

	at := func(s int64) time.Time { return time.Unix(s, 0) }
	all := map[int][]execution{
		1: {{began: at(1), ended: at(2)}},
		2: {{began: at(2)}, {began: at(9), ended: at(10)}},
		3: {{began: at(1), ended: at(8)}},
	}
	require.Equal(t, 6*time.Second, longestPause(all))
	require.Zero(t, longestPause(nil))
}

// Each repetition has one cause, and what nothing excuses counts as finished.
func TestJudge(t *testing.T) {
	t.Parallel()

	at := func(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)) }
	events := []event{
		{at: at(100), kind: killExecutor, target: "executor-1/1"},
		{at: at(200), until: at(205), kind: killTemporal},
		{at: at(300), until: at(300.2), kind: terminateWindow, window: span{partition: 2, first: 10, last: 19}},
	}
	inside, outside := place{partition: 2, offset: 15}, place{partition: 2, offset: 20}
	for _, tt := range []struct {
		name   string
		before execution
		again  float64
		source place
		want   cause
	}{
		{"RunningWhenKilled", execution{run: "executor-1/1", began: at(99)}, 110, outside, wasRunning},
		{"EndedJustBefore", execution{run: "executor-1/1", began: at(98), ended: at(98.5)}, 110, outside, wasRunning},
		{"EndedLongBefore", execution{run: "executor-1/1", began: at(97), ended: at(97.5)}, 110, outside, wasFinished},
		{"KilledLater", execution{run: "executor-1/2", began: at(99)}, 110, outside, wasFinished},
		{"EndedWhileTemporalWasAway", execution{run: "executor-2/1", began: at(201), ended: at(202)}, 290, outside, wasTemporal},
		{"AgainBehindTemporal", execution{run: "executor-2/1", began: at(190), ended: at(190.1)}, 215, outside, wasTemporal},
		{"AgainLongBehindTemporal", execution{run: "executor-2/1", began: at(190), ended: at(190.1)}, 236, outside, wasFinished},
		{"EndedAndAgainBeforeTemporal", execution{run: "executor-2/1", began: at(150), ended: at(150.1)}, 160, outside, wasFinished},
		{"RunningWhenTerminated", execution{run: "executor-2/1", began: at(299)}, 303, inside, wasTerminated},
		{"EndedJustBeforeTerminated", execution{run: "executor-2/1", began: at(299), ended: at(299.5)}, 303, inside, wasTerminated},
		{"EndedLongBeforeTerminated", execution{run: "executor-2/1", began: at(290), ended: at(290.5)}, 303, inside, wasFinished},
		{"OfAnotherWindow", execution{run: "executor-2/1", began: at(299)}, 303, outside, wasFinished},
		{"BeganWhileTerminated", execution{run: "executor-2/1", began: at(300.1), ended: at(300.15)}, 301, inside, wasTerminated},
		{"BeganBeforeItWasHeard", execution{run: "executor-2/1", began: at(301.1), ended: at(301.3)}, 305, inside, wasTerminated},
		{"BeganBehindTerminated", execution{run: "executor-2/1", began: at(301.3), ended: at(301.5)}, 305, inside, wasFinished},
		{"AgainBeforeTerminated", execution{run: "executor-2/1", began: at(298)}, 299, inside, wasFinished},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			log := newJournal(t)
			log.events = append(log.events, events...)
			tt.before.n = 7
			again := execution{n: 7, run: "executor-3/1", began: at(tt.again), ended: at(tt.again + 1)}
			got := judge{unrecorded: 2 * time.Second, journal: log, source: map[int]place{7: tt.source}}.all(map[int][]execution{
				7: {tt.before, again}, 8: {{n: 8, began: at(1), ended: at(2)}},
			})
			var want reruns
			want.add(tt.want)
			if tt.want == wasRunning {
				want.longest = 10 * time.Second
			}
			require.Len(t, got.told, 1)
			require.Contains(t, got.told[0], string(tt.want)+": 7 at "+tt.source.String())
			got.told = nil
			require.Equal(t, want, got)
		})
	}
}

func newJournal(t *testing.T) *journal {
	t.Helper()

	j, err := openJournal(filepath.Join(t.TempDir(), "journal.log"), func(string) {})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.close()) })
	return j
}

func TestJournal(t *testing.T) {
	t.Parallel()

	j := newJournal(t)
	first := time.Now()
	mended := j.note(event{at: first, kind: killExecutor, target: "executor-1/1"})
	j.note(event{at: first, kind: killKafka})
	require.Zero(t, j.of(killKafka)[0].until)
	mended()
	require.False(t, j.of(killExecutor)[0].until.Before(first))
	require.Equal(t, map[fault]int{killExecutor: 1, killKafka: 1}, j.counts())
	at, killed := j.killOf("executor-1/1")
	require.True(t, killed)
	require.Equal(t, first, at)
	_, killed = j.killOf("executor-1/2")
	require.False(t, killed)
}

func TestGap(t *testing.T) {
	t.Parallel()

	at := func(s int64) time.Time { return time.Unix(s, 0) }
	g := gap{
		at: at(10), sent: 3,
		all: map[int][]execution{
			0: {{began: at(8), ended: at(9)}},
			1: {{began: at(9)}, {began: at(16), ended: at(18)}}, // its executor died
			2: {{began: at(12), ended: at(13)}},                 // it was waiting
			3: {{began: at(19), ended: at(20)}},
			4: {{began: at(21), ended: at(22)}},
		},
		commits: []commit{
			{partition: 0, offset: 5, at: at(9)},
			{partition: 0, offset: 5, at: at(11)}, // repeated, nothing moved
			{partition: 1, offset: 3, at: at(14)},
		},
	}
	require.Equal(t, 9*time.Second, g.ingest())
	g.commits[2].at = at(25)
	require.Equal(t, 15*time.Second, g.ingest())
	missed, rest := g.executor()
	require.Equal(t, 6*time.Second, missed)
	require.Equal(t, 3*time.Second, rest)
}

func TestIngestAway(t *testing.T) {
	t.Parallel()

	at := func(s int64) time.Time { return time.Unix(s, 0) }
	source := map[int]place{
		0: {partition: 1, sent: at(5)},
		1: {partition: 1, sent: at(12)}, // behind the next, in another window
		2: {partition: 1, sent: at(11)},
		3: {partition: 2, sent: at(13)},
		4: {partition: 3, sent: at(14)}, // never begun
	}
	all := map[int][]execution{
		0: {{began: at(30)}},
		1: {{began: at(18)}},
		2: {{began: at(19)}, {began: at(40)}},
		3: {{began: at(14)}},
	}
	kill := func(s int64) event { return event{at: at(s)} }
	require.Equal(t, 8*time.Second, ingestAway(all, source, []event{kill(10)}))
	require.Equal(t, 14*time.Second, ingestAway(all, source, []event{kill(4), kill(10)}))
	require.Zero(t, ingestAway(all, source, nil))
}

func TestTimeLost_Missed(t *testing.T) {
	t.Parallel()

	require.Empty(t, TimeLost{Ingest: 12000, IngestStatic: 3000, Executor: 12000, RestPause: 3000}.Missed())
	require.Len(t, TimeLost{Ingest: 12001, IngestStatic: 3001, Executor: 12001, RestPause: 3001}.Missed(), 4)
}
