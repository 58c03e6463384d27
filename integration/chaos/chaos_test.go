package chaos

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/integration/services/servicestest"
)

// Members of the pipelines of these tests are this test program, started again:
// so they run with the race detector when the tests do.
func TestMain(m *testing.M) {
	if IsMember() {
		os.Exit(Member())
	}
	os.Exit(m.Run())
}

// A short round on the services of the tests, which it may not kill.
func TestRound(t *testing.T) {
	t.Parallel()

	w := &world{
		kafkaAddr: servicestest.Kafka(t), postgresURL: servicestest.Postgres(t), mongoURL: servicestest.Mongo(t), redisURL: servicestest.Redis(t),
	}
	w.temporalAddr, w.namespace = servicestest.Temporal(t)
	o, err := parse([]string{
		"-messages", "600", "-rate", "30", "-partitions", "6", "-executors", "2", "-slots", "4",
		"-faults", "kill-ingest,kill-executor,terminate-window", "-moments", "3",
		// The machine of a test may be busy for seconds.
		"-unrecorded", "8s",
	}, t.Output())
	require.NoError(t, err)
	dir := t.TempDir()
	report, err := runRound(t.Context(), roundConfig{options: o, seed: 1, dir: dir, world: w, tell: func(text string) { t.Log(text) }})
	require.NoError(t, err)
	text, err := line(report)
	require.NoError(t, err)
	t.Log(text)
	if len(report.Missed()) > 0 {
		showLogs(t, dir)
	}
	require.Empty(t, report.Missed())
	require.Equal(t, map[fault]int{killIngest: 1, killExecutor: 1, terminateWindow: 1}, report.Kills)
	require.Positive(t, report.MaxPauseMS)
	requireNoRace(t, dir, 4)
}

// requireNoRace looks for reports of the race detector in the members' logs.
func requireNoRace(t *testing.T, dir string, members int) {
	t.Helper()

	logs, err := filepath.Glob(filepath.Join(dir, "logs", "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, members)
	for _, log := range logs {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		require.NotContains(t, string(text), "DATA RACE", log)
	}
}

// showLogs puts what explains the figures into the test's output.
func showLogs(t *testing.T, dir string) {
	t.Helper()

	for _, name := range []string{"journal.log", "missing.log", "reruns.log", "regressions.log"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			t.Logf("%s:\n%s", name, text)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"Help", []string{"-h"}, 0, "-time-lost"},
		{"NoFlag", []string{"seed"}, 2, `"seed" is no flag`},
		{"NoRounds", []string{"-rounds", "0"}, 2, "-rounds is 0"},
		{"NoRate", []string{"-rate", "0"}, 2, "-rate is 0"},
		{"UnknownFault", []string{"-faults", "kill-ingest,flood"}, 2, `there is no fault "flood"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			var out, errOut bytes.Buffer
			require.Equal(t, tt.code, Command(tt.args, &out, &errOut))
			require.Contains(t, errOut.String(), tt.want)
			require.Empty(t, out.String())
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()

	t.Run("Defaults", func(t *testing.T) {
		t.Parallel()

		o, err := parse(nil, t.Output())
		require.NoError(t, err)
		require.Equal(t, faults, o.faults)
		require.Equal(t, 20000, o.messages)
		require.Equal(t, 12, o.partitions)
	})

	t.Run("Faults", func(t *testing.T) {
		t.Parallel()

		o, err := parse([]string{"--faults", "stop-ingest, kill-kafka", "--seed", "7"}, t.Output())
		require.NoError(t, err)
		require.Equal(t, []fault{stopIngest, killKafka}, o.faults)
		require.EqualValues(t, 7, o.seed)
	})

	t.Run("NoFaults", func(t *testing.T) {
		t.Parallel()

		o, err := parse([]string{"-faults", "none"}, t.Output())
		require.NoError(t, err)
		require.Empty(t, o.faults)
	})
}

func TestLeave(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		keep  bool
		err   error
		stays bool
	}{
		{"Failed", false, os.ErrInvalid, true},
		{"Kept", true, nil, true},
		{"Passed", false, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			dir := t.TempDir()
			err := options{keep: tt.keep}.leave(dir, tt.err)
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				require.ErrorContains(t, err, dir)
			}
			if tt.stays {
				require.DirExists(t, dir)
			} else {
				require.NoDirExists(t, dir)
			}
		})
	}
}

func TestReport_Missed(t *testing.T) {
	t.Parallel()

	require.Empty(t, Report{ReexecutedRunning: 5, ReexecutedTemporal: 9, DuplicatesInTopic: 3, CommitsBackInEpoch: 1, runningBar: 5}.Missed())
	for _, tt := range []struct {
		want   string
		report Report
	}{
		{"commit_regressions is 1", Report{CommitRegressions: 1}},
		{"crashes is 1", Report{Crashes: 1}},
		{"dead_letters is 1", Report{DeadLetters: 1}},
		{"duplicates_in_store is 1", Report{DuplicatesInStore: 1}},
		{"lost is 1", Report{Lost: 1}},
		{"reexecuted_finished is 1", Report{ReexecutedFinished: 1}},
		{"reexecuted_running is 6, the bar is 5", Report{ReexecutedRunning: 6, runningBar: 5}},
		{"taken_when_refused is 1", Report{TakenWhenRefused: 1}},
		{"uncommitted is 1", Report{Uncommitted: 1}},
	} {
		require.Len(t, tt.report.Missed(), 1, tt.want)
		require.Contains(t, tt.report.Missed()[0], tt.want)
	}
}

func TestAtStake(t *testing.T) {
	t.Parallel()

	require.Equal(t, 8, atStake(8, 0))
	require.Equal(t, 8+8*18, atStake(8, 2*time.Second))
}

// A refusal that refuses nothing shows nothing.
func TestHadToRefuse(t *testing.T) {
	t.Parallel()

	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	refusals := []event{{at: start, until: start.Add(30 * time.Second)}, {at: start.Add(time.Hour)}}
	for after, want := range map[time.Duration]bool{
		-time.Second:                 false,
		refuseGrace:                  false,
		2 * time.Second:              true,
		28 * time.Second:             true,
		30*time.Second - refuseGrace: false,
		time.Minute:                  false,
		time.Hour:                    false,
		time.Hour + time.Minute:      true, // not mended
	} {
		require.Equal(t, want, hadToRefuse(start.Add(after), refusals), after)
		require.False(t, hadToRefuse(start.Add(after), nil), after)
	}
}
