package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// verify computes the report from what the round left behind.
func (r *round) verify(ctx context.Context) (Report, error) {
	report := Report{Seed: r.seed, Messages: r.messages, Crashes: r.fleet.crashes, Kills: r.journal.counts()}
	report.runningBar = report.Kills[killExecutor] * atStake(r.slots, r.unrecorded)
	source, err := r.source(ctx)
	if err != nil {
		return report, err
	}
	for _, step := range []func(context.Context, *Report, map[int]place) error{
		r.verifyReceipts, r.verifyExecutions, r.verifyCommits,
	} {
		if err := step(ctx, &report, source); err != nil {
			return report, err
		}
	}
	return report, nil
}

// source says where each message is. What was sent twice would look like work
// that was done twice.
func (r *round) source(ctx context.Context) (map[int]place, error) {
	out := map[int]place{}
	err := r.broker.read(ctx, r.topics.source, func(m *kafka.Message) error {
		var o order
		if err := json.Unmarshal(m.Value, &o); err != nil {
			return fmt.Errorf("decoding a message: %w", err)
		}
		at := place{m.TopicPartition.Partition, int64(m.TopicPartition.Offset), m.Timestamp}
		if first, twice := out[o.N]; twice {
			return fmt.Errorf("message %d was sent twice, as %s and %s", o.N, first, at)
		}
		out[o.N] = at
		return nil
	})
	if err == nil && len(out) != r.messages {
		err = fmt.Errorf("the source holds %d of %d messages", len(out), r.messages)
	}
	return out, err
}

// tally counts how often each number came.
type tally map[int]int

// doubles is how many came beyond the first of their number.
func (t tally) doubles() int {
	n := 0
	for _, times := range t {
		n += times - 1
	}
	return n
}

func (r *round) verifyReceipts(ctx context.Context, report *Report, source map[int]place) error {
	missing := map[int]bool{}
	miss := func(t tally) {
		for n := range source {
			if t[n] == 0 {
				missing[n] = true
			}
		}
	}
	topic, refused := tally{}, r.journal.of(refuseSink)
	err := r.broker.read(ctx, r.topics.results, func(m *kafka.Message) error {
		if hadToRefuse(m.Timestamp, refused) {
			report.TakenWhenRefused++
		}
		var got receipt
		if err := json.Unmarshal(m.Value, &got); err != nil {
			return fmt.Errorf("decoding a receipt: %w", err)
		}
		topic[got.N]++
		return nil
	})
	if err != nil {
		return err
	}
	miss(topic)
	report.DuplicatesInTopic = topic.doubles()
	for _, s := range r.stores {
		rows := tally{}
		if err := s.rows(ctx, func(n int) { rows[n]++ }); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
		miss(rows)
		report.DuplicatesInStore += rows.doubles()
	}
	report.Lost = len(missing)
	if err := r.tellMissing(missing, source); err != nil {
		return err
	}
	return r.broker.read(ctx, r.topics.letters, func(*kafka.Message) error { report.DeadLetters++; return nil })
}

// refuseGrace is how long the broker may take to know that it has to refuse.
const refuseGrace = time.Second

// hadToRefuse reports whether the topic had to refuse all records at the time.
func hadToRefuse(at time.Time, refusals []event) bool {
	return slices.ContainsFunc(refusals, func(e event) bool {
		return at.After(e.at.Add(refuseGrace)) && (e.until.IsZero() || at.Before(e.until.Add(-refuseGrace)))
	})
}

func (r *round) tellMissing(missing map[int]bool, source map[int]place) error {
	var told []string
	for n := range missing {
		told = append(told, fmt.Sprintf("%d at %s", n, source[n]))
	}
	return r.leaveNote("missing.log", told)
}

func (r *round) verifyExecutions(_ context.Context, report *Report, source map[int]place) error {
	all, err := r.executed()
	if err != nil {
		return err
	}
	again := judge{unrecorded: r.unrecorded, journal: r.journal, source: source}.all(all)
	report.ReexecutedFinished, report.ReexecutedRunning = again.finished, again.running
	report.ReexecutedTemporal, report.ReexecutedTerminated = again.temporal, again.terminated
	report.MaxPauseMS = longestPause(all).Milliseconds()
	report.TimeLostExecutorMS = again.longest.Milliseconds()
	report.TimeLostIngestMS = ingestAway(all, source, r.journal.of(killIngest)).Milliseconds()
	return r.leaveNote("reruns.log", again.told)
}

// executed reads the tasks' own log.
func (r *round) executed() (map[int][]execution, error) {
	log, err := os.Open(r.path("executions.log"))
	if err != nil {
		return nil, fmt.Errorf("opening the execution log: %w", err)
	}
	defer log.Close()
	return readExecutions(log)
}

func (r *round) verifyCommits(ctx context.Context, report *Report, _ map[int]place) error {
	commits, err := r.broker.commits(ctx, r.topics.group, r.topics.source)
	if err != nil {
		return err
	}
	if len(commits) == 0 {
		return errors.New("the broker's log holds no commit of the pipeline")
	}
	back := regress(commits)
	report.CommitRegressions, report.CommitsBackInEpoch = back.across, back.inside
	return r.leaveNote("regressions.log", back.told)
}

// leaveNote writes what explains a figure beside the logs.
func (r *round) leaveNote(name string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	if err := os.WriteFile(r.path(name), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
