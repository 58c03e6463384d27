package chaos

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report is the line that a round ends with. Every figure is computed from the
// tasks' own log, from what is in Kafka and from what is in the stores.
type Report struct {
	Seed     uint64 `json:"seed"`
	Messages int    `json:"messages"`

	// Lost are messages whose receipt is missing in the output topic or in a
	// store.
	Lost int `json:"lost"`

	// Uncommitted is how far the committed offsets stayed behind the end of the
	// source when the round was given up.
	Uncommitted int `json:"uncommitted"`

	// DuplicatesInStore are rows beyond one for a message, in stores whose key
	// is the delivery id; DuplicatesInTopic are such records.
	DuplicatesInStore int `json:"duplicates_in_store"`
	DuplicatesInTopic int `json:"duplicates_in_topic"`

	DeadLetters int `json:"dead_letters"`

	// Tasks that ran again, see reruns.
	ReexecutedFinished   int `json:"reexecuted_finished"`
	ReexecutedRunning    int `json:"reexecuted_running"`
	ReexecutedTemporal   int `json:"reexecuted_temporal"`
	ReexecutedTerminated int `json:"reexecuted_terminated"`

	// CommitRegressions are commits that went back across an epoch;
	// CommitsBackInEpoch went back inside of one, which harms nothing.
	CommitRegressions  int `json:"commit_regressions"`
	CommitsBackInEpoch int `json:"commits_back_in_epoch"`

	// TakenWhenRefused are records that came into the output topic while it had
	// to refuse all: then the round has not shown what it claims.
	TakenWhenRefused int `json:"taken_when_refused"`

	// Crashes are processes that ended though nobody had ended them.
	Crashes int `json:"crashes"`

	// MaxPauseMS is the longest time in which no task ended.
	MaxPauseMS int64 `json:"max_pause_ms"`

	// TimeLostIngestMS is the longest that messages of a killed ingest waited,
	// TimeLostExecutorMS the longest until what a killed executor was doing
	// began again. Whatever else is broken meanwhile counts in; TimeLost is
	// measured without that.
	TimeLostIngestMS   int64 `json:"time_lost_ingest_ms"`
	TimeLostExecutorMS int64 `json:"time_lost_executor_ms"`

	Kills   map[fault]int `json:"kills"`
	Seconds float64       `json:"seconds"`

	// runningBar is the most that ReexecutedRunning may be.
	runningBar int
}

// meanTask is the mean duration of a task.
const meanTask = (shortestTask + longestTask) / 2

// atStake is how many tasks the death of an executor may repeat: those in its
// slots, and the short ones that had ended and were not recorded yet.
func atStake(slots int, unrecorded time.Duration) int { return slots + slots*int(unrecorded/meanTask) }

// Missed are the bars that the round missed.
func (r Report) Missed() []string {
	var out []string
	for _, bar := range []struct {
		name  string
		value int
		most  int
	}{
		{"lost", r.Lost, 0},
		{"uncommitted", r.Uncommitted, 0},
		{"duplicates_in_store", r.DuplicatesInStore, 0},
		{"dead_letters", r.DeadLetters, 0},
		{"reexecuted_finished", r.ReexecutedFinished, 0},
		{"reexecuted_running", r.ReexecutedRunning, r.runningBar},
		{"commit_regressions", r.CommitRegressions, 0},
		{"taken_when_refused", r.TakenWhenRefused, 0},
		{"crashes", r.Crashes, 0},
	} {
		if bar.value > bar.most {
			out = append(out, fmt.Sprintf("%s is %d, the bar is %d", bar.name, bar.value, bar.most))
		}
	}
	return out
}

// line is the report as one line of JSON.
func line(report any) (string, error) {
	data, err := json.Marshal(report)
	if err != nil {
		return "", fmt.Errorf("encoding the report: %w", err)
	}
	return string(data), nil
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
