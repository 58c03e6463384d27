package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

func TestMain(m *testing.M) {
	if queue := os.Getenv(envQueue); queue != "" {
		_, err := replayLines(queue, os.Getenv(envState), os.Getenv(envSink))
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var dbSink = sinks.Ref{Type: sinks.Postgres, Name: "db"}

// payloadLetter is a dead letter of a payload, and of a message of its own.
func payloadLetter(id string) dlq.Envelope {
	return dlq.Envelope{
		V: dlq.Version, ID: id, Kind: dlq.KindPayload, Class: "permanent", Error: "no such table", Written: time.Unix(1, 0).UTC(),
		Payload: &sinks.Payload{ID: id, To: dbSink, Value: drakkar.Bytes("value of " + id)},
		Source:  dlq.Source{Topic: "orders", TopicID: "ab12", Offset: int64(len(id)), Key: drakkar.Bytes("k"), Value: drakkar.Bytes(id)},
	}
}

// bundle is a queue of files and a sink in memory.
type bundle struct {
	queue string
	state string
	sink  *sinkstest.Memory
	opens int
}

func setup(t *testing.T, letters ...dlq.Envelope) *bundle {
	t.Helper()
	b := &bundle{queue: t.TempDir(), state: filepath.Join(t.TempDir(), "state"), sink: sinkstest.NewMemory()}
	b.add(t, letters...)
	return b
}

func (b *bundle) add(t *testing.T, letters ...dlq.Envelope) {
	t.Helper()
	w, err := dlq.NewFileWriter(b.queue, "w", 1<<20)
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context(), letters))
	require.NoError(t, w.Close(t.Context()))
}

// outliving is a sink that serves several runs.
type outliving struct{ sinks.Sink }

func (outliving) Close(context.Context) error { return nil }

func many(n int) []dlq.Envelope {
	var out []dlq.Envelope
	for i := range n {
		out = append(out, payloadLetter(fmt.Sprintf("id-%04d", i)))
	}
	return out
}

// target replays to the sink in memory.
func (b *bundle) target() *Target {
	return ToSink(Sinks{
		Configured: func(ref sinks.Ref) bool { return ref == dbSink },
		Open: func(context.Context, sinks.Ref) (*sinks.Set, error) {
			b.opens++
			return sinks.NewSet([]sinks.Instance{{Ref: dbSink, Sink: outliving{b.sink}, Policy: sinks.Policy{
				Delivery: config.Delivery{Timeout: time.Minute},
				Breaker:  config.CircuitBreaker{FailureThreshold: 1000},
			}}}, events.Discard)
		},
	})
}

// run is one run, with the options changed by f.
func (b *bundle) run(t *testing.T, f func(*Options)) (Report, error) {
	t.Helper()
	return b.runContext(t.Context(), t, f)
}

func (b *bundle) runContext(ctx context.Context, t *testing.T, f func(*Options)) (Report, error) {
	t.Helper()
	q, err := dlq.OpenFiles(b.queue, dlq.ReadOptions{})
	require.NoError(t, err)
	o := Options{Queue: q, Target: b.target(), Dir: b.state}
	if f != nil {
		f(&o)
	}
	defer func() { require.NoError(t, o.Target.Close(t.Context())) }()
	return Run(ctx, o)
}

func (b *bundle) ids() []string {
	var out []string
	for _, p := range b.sink.Deliveries() {
		out = append(out, p.ID)
	}
	return out
}

// audit are the lines of the audit file.
func (b *bundle) audit(t *testing.T) []AuditLine {
	t.Helper()
	f, err := os.Open(filepath.Join(b.state, AuditFile))
	require.NoError(t, err)
	defer f.Close()
	var out []AuditLine
	for s := bufio.NewScanner(f); s.Scan(); {
		var l AuditLine
		require.NoError(t, json.Unmarshal(s.Bytes(), &l), s.Text())
		out = append(out, l)
	}
	return out
}

func outcomes(lines []AuditLine) map[Outcome]int {
	out := map[Outcome]int{}
	for _, l := range lines {
		out[l.Outcome]++
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("ToTheSinkUnderTheSameID", func(t *testing.T) {
		t.Parallel()

		b := setup(t, many(250)...)
		var last Progress
		rep, err := b.run(t, func(o *Options) { o.Progress = func(p Progress) { last = p } })
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 250, Replayed: 250}, Complete: true}, rep)
		require.False(t, rep.Left())
		require.Equal(t, last.Total, last.Read)
		require.Equal(t, 250, last.Replayed)
		require.Len(t, b.sink.Deliveries(), 250)
		require.Equal(t, *payloadLetter("id-0007").Payload, b.sink.Deliveries()[7])

		lines := b.audit(t)
		require.Len(t, lines, 250)
		l := lines[3]
		require.WithinDuration(t, time.Now(), l.Time, time.Minute)
		require.Contains(t, l.By, "@")
		l.Time, l.By, l.At.Log = time.Time{}, "", ""
		q, err := dlq.OpenFiles(b.queue, dlq.ReadOptions{})
		require.NoError(t, err)
		require.Equal(t, AuditLine{
			Outcome: Replayed, Queue: q.Name(), At: dlq.Position{Offset: l.At.Offset}, ID: "id-0003", Kind: dlq.KindPayload,
			Class: "permanent", Source: "orders/0@7", Target: "sink", Sink: "postgres:db",
		}, l)
	})

	t.Run("TheNextRunTakesWhatIsNew", func(t *testing.T) {
		t.Parallel()

		b := setup(t, many(5)...)
		_, err := b.run(t, nil)
		require.NoError(t, err)
		rep, err := b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, Report{Complete: true}, rep)
		b.add(t, payloadLetter("new"), payloadLetter("id-0002")) // the second is a double of one before
		rep, err = b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 2, Replayed: 1, Doubles: 1}, Complete: true}, rep)
		require.Equal(t, "new", b.ids()[5])
		require.Len(t, b.ids(), 6)

		// Another selection is another replay, and so is one that begins anew.
		rep, err = b.run(t, func(o *Options) { o.Selection.IDs = []string{"new"} })
		require.NoError(t, err)
		require.Equal(t, 1, rep.Replayed)
		rep, err = b.run(t, func(o *Options) { o.Restart = true })
		require.NoError(t, err)
		require.Equal(t, 6, rep.Replayed)
	})

	t.Run("WhatCannotBeReplayedIsNamed", func(t *testing.T) {
		t.Parallel()

		message, reduced, elsewhere, refused := payloadLetter("m"), payloadLetter("r"), payloadLetter("e"), payloadLetter("x")
		message.Kind, message.Payload = dlq.KindMessage, nil
		reduced.Payload.Value, reduced.PayloadMissing = nil, "too large for the dead letter queue (30000 bytes)"
		elsewhere.Payload.To.Name = "gone"
		b := setup(t, message, reduced, elsewhere, refused, payloadLetter("good"))
		require.NoError(t, os.WriteFile(filepath.Join(b.queue, "z.jsonl"), []byte("no letter\n"), 0o600))
		b.sink.Refuse(func(p sinks.Payload) error {
			if p.ID == "x" {
				return errors.New("still no such table")
			}
			return nil
		})
		var told []AuditLine
		rep, err := b.run(t, func(o *Options) { o.Each = func(l AuditLine) { told = append(told, l) } })
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 5, Replayed: 1, Refused: 3, Failed: 1, Unreadable: 1}, Complete: true}, rep)
		require.True(t, rep.Left())
		require.Equal(t, told, b.audit(t))
		byID := map[string]string{}
		for _, l := range told {
			byID[l.ID] = l.Error
		}
		require.Equal(t, "it is a message and failed at no sink: replay it to the source", byID["m"])
		require.Equal(t, "its payload was left out: too large for the dead letter queue (30000 bytes)", byID["r"])
		require.Equal(t, "sinks.postgres.gone is not configured", byID["e"])
		require.Equal(t, "still no such table", byID["x"])
		require.Contains(t, byID[""], "reading z.jsonl@0: ")
	})

	t.Run("DryRunChangesNothing", func(t *testing.T) {
		t.Parallel()

		b := setup(t, append(many(150), payloadLetter("id-0000"))...)
		var told []AuditLine
		dry := func(o *Options) { o.DryRun, o.Each = true, func(l AuditLine) { told = append(told, l) } }
		rep, err := b.run(t, dry)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 151, Replayed: 150, Doubles: 1}, Complete: true}, rep)
		require.Equal(t, map[Outcome]int{Planned: 150, Double: 1}, outcomes(told))
		require.Zero(t, b.opens)
		require.NoDirExists(t, b.state)

		// It tells what the next run would do.
		_, err = b.run(t, func(o *Options) { o.Limit = 149 })
		require.NoError(t, err)
		rep, err = b.run(t, dry)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 151, Replayed: 150, Doubles: 1}, Earlier: 149, Complete: true}, rep)
		require.Equal(t, map[Outcome]int{Planned: 151, Double: 2}, outcomes(told))
		require.Equal(t, "id-0149", told[len(told)-2].ID)
	})

	t.Run("GoesOnBehindTheLimit", func(t *testing.T) {
		t.Parallel()

		b := setup(t, many(130)...)
		for _, want := range []Report{
			{Counts: Counts{Selected: 120, Replayed: 120}},
			{Counts: Counts{Selected: 130, Replayed: 130}, Earlier: 120, Complete: true},
		} {
			rep, err := b.run(t, func(o *Options) { o.Limit = 120 })
			require.NoError(t, err)
			require.Equal(t, want, rep)
			require.Equal(t, !want.Complete, rep.Left())
		}
		require.Len(t, b.ids(), 130)
		require.True(t, slices.IsSorted(b.ids()))
	})

	t.Run("ATargetThatIsAwayIsWaitedForAndThenLeft", func(t *testing.T) {
		t.Parallel()

		b := setup(t, many(3)...)
		away := errors.New("connection refused")
		b.sink.FailNext(1, sinks.Transient, away)
		rep, err := b.run(t, nil)
		require.NoError(t, err, "it is tried again")
		require.Equal(t, 3, rep.Replayed)

		b.add(t, payloadLetter("late"))
		b.sink.FailNext(1, sinks.Transient, away)
		rep, err = b.run(t, func(o *Options) { o.Patience = time.Millisecond })
		require.ErrorIs(t, err, away)
		require.ErrorContains(t, err, "postgres:db did not take 1 dead letters for 1ms, among them ")
		require.Equal(t, Report{}, rep)
		rep, err = b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, 1, rep.Replayed)
		require.Len(t, b.ids(), 4)
	})

	t.Run("OneReplayAtATime", func(t *testing.T) {
		t.Parallel()

		b := setup(t, many(1)...)
		q, err := dlq.OpenFiles(b.queue, dlq.ReadOptions{})
		require.NoError(t, err)
		s, err := openState(b.state, subject{Queue: q.Name(), Target: "sink"})
		require.NoError(t, err)
		_, err = b.run(t, nil)
		require.ErrorIs(t, err, errRunning)
		_, err = b.run(t, func(o *Options) { o.DryRun = true })
		require.NoError(t, err)
		s.close()
		_, err = b.run(t, nil)
		require.NoError(t, err)
	})
}

// What is left of a batch is sent by the next run, and nothing else: neither
// what arrived nor what was refused is done again.
func TestRun_StopsInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()

	letters := many(10)
	letters[7].PayloadMissing = "too large"
	b := setup(t, letters...)
	away := errors.New("away")
	fails := map[string]bool{"id-0003": true, "id-0005": true}
	b.sink.Refuse(func(p sinks.Payload) error {
		if p.ID == "id-0008" {
			return errors.New("no")
		}
		return nil
	})
	flaky := &flakySink{Memory: b.sink, fails: fails, err: away}
	rep, err := b.run(t, func(o *Options) {
		o.Patience = time.Millisecond
		o.Target.open = func(context.Context, sinks.Ref) (*sinks.Set, error) {
			return sinks.NewSet([]sinks.Instance{{Ref: dbSink, Sink: outliving{flaky}, Policy: sinks.Policy{Breaker: config.CircuitBreaker{FailureThreshold: 9}}}}, events.Discard)
		}
	})
	require.ErrorIs(t, err, away)
	require.Equal(t, Report{Counts: Counts{Selected: 8, Replayed: 6, Refused: 1, Failed: 1}}, rep)

	rep, err = b.run(t, nil)
	require.NoError(t, err)
	require.Equal(t, Report{Counts: Counts{Selected: 10, Replayed: 8, Refused: 1, Failed: 1}, Earlier: 6, Complete: true}, rep)
	require.Equal(t, []string{"id-0003", "id-0005"}, b.ids()[6:])
	require.Equal(t, map[Outcome]int{Replayed: 8, Refused: 1, Failed: 1}, outcomes(b.audit(t)))
}

// A sink that cannot be opened here leaves the others of its batch without
// doubles.
func TestRun_OneSinkCannotBeOpened(t *testing.T) {
	t.Parallel()

	for range 20 { // the order of the sinks of a batch is any
		letters := many(2)
		letters[1].Payload.To.Name = "elsewhere"
		b := setup(t, letters...)
		unknown := func(o *Options) {
			open := o.Target.open
			o.Target = ToSink(Sinks{
				Configured: func(sinks.Ref) bool { return true },
				Open: func(ctx context.Context, ref sinks.Ref) (*sinks.Set, error) {
					if ref != dbSink {
						return nil, errors.New("no constructor")
					}
					return open(ctx, ref)
				},
			})
		}
		for range 2 {
			_, err := b.run(t, unknown)
			require.ErrorContains(t, err, "opening postgres:elsewhere for the replay")
			require.ErrorContains(t, err, "no constructor")
		}
		require.Empty(t, b.ids(), "nothing is sent that could not be settled")

		rep, err := b.run(t, func(o *Options) { unknown(o); o.Selection.Sinks = []string{dbSink.String()} })
		require.NoError(t, err)
		require.Equal(t, 1, rep.Replayed)
	}
}

// The same filters in another order go on where they were.
func TestRun_FiltersInAnotherOrder(t *testing.T) {
	t.Parallel()

	letters := many(2)
	letters[1].Class = "exhausted"
	b := setup(t, letters...)
	for _, classes := range [][]string{{"permanent", "exhausted"}, {"exhausted", "permanent", "exhausted"}} {
		_, err := b.run(t, func(o *Options) { o.Selection.Classes = classes })
		require.NoError(t, err)
	}
	require.Len(t, b.ids(), 2)
}

// shuffled is a queue of two logs that are read in either order.
type shuffled struct{ entries []dlq.Entry }

func (q *shuffled) Name() string { return "shuffled" }
func (q *shuffled) Close() error { return nil }

func (q *shuffled) Spans(context.Context) ([]dlq.Span, error) {
	return []dlq.Span{{Log: "a", To: 1}, {Log: "b", To: 1}}, nil
}

func (q *shuffled) Read(_ context.Context, _ []dlq.Span, f func(dlq.Entry) error) error {
	for _, e := range q.entries {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// Of two dead letters of one payload none was replayed: the next run replays
// one, whichever of them it meets first.
func TestRun_DoublesOfWhatIsLeft(t *testing.T) {
	t.Parallel()

	b := setup(t)
	q := &shuffled{entries: []dlq.Entry{
		{At: dlq.Position{Log: "a"}, Next: 1, Envelope: payloadLetter("x")},
		{At: dlq.Position{Log: "b"}, Next: 1, Envelope: payloadLetter("x")},
	}}
	b.sink.FailNext(1, sinks.Transient, errors.New("away"))
	rep, err := b.run(t, func(o *Options) { o.Queue, o.Patience = q, time.Millisecond })
	require.ErrorContains(t, err, "away")
	require.Equal(t, Report{}, rep)
	slices.Reverse(q.entries)
	rep, err = b.run(t, func(o *Options) { o.Queue = q })
	require.NoError(t, err)
	require.Equal(t, Report{Counts: Counts{Selected: 2, Replayed: 1, Doubles: 1}, Complete: true}, rep)
	require.Equal(t, []string{"x"}, b.ids())
}

// A later dead letter of what was refused is another one: the message was worked
// on again, and its payload may be good now.
func TestRun_DoublesOfWhatWasRefused(t *testing.T) {
	t.Parallel()

	bad, good := payloadLetter("x"), payloadLetter("x")
	good.Payload.Value = drakkar.Bytes("mended")
	refuse := func(p sinks.Payload) error {
		if p.Value.String() != "mended" {
			return errors.New("no such table")
		}
		return nil
	}
	t.Run("InOneRun", func(t *testing.T) {
		t.Parallel()

		b := setup(t, bad, payloadLetter("y"), good, good)
		b.sink.Refuse(refuse)
		rep, err := b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 4, Replayed: 1, Failed: 2, Doubles: 1}, Complete: true}, rep)
		require.Equal(t, "mended", b.sink.Payloads()[0].Value.String())
	})
	t.Run("BehindTheLimit", func(t *testing.T) {
		t.Parallel()

		b := setup(t, bad, good)
		b.sink.Refuse(refuse)
		rep, err := b.run(t, func(o *Options) { o.Limit = 1 })
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 1, Failed: 1}}, rep)
		rep, err = b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 2, Replayed: 1, Failed: 1}, Complete: true}, rep)
	})
	t.Run("InALaterRun", func(t *testing.T) {
		t.Parallel()

		b := setup(t, bad)
		b.sink.Refuse(refuse)
		_, err := b.run(t, nil)
		require.NoError(t, err)
		b.add(t, good, good)
		rep, err := b.run(t, nil)
		require.NoError(t, err)
		require.Equal(t, Report{Counts: Counts{Selected: 2, Replayed: 1, Doubles: 1}, Complete: true}, rep)
		require.Equal(t, "mended", b.sink.Payloads()[0].Value.String())
	})
}

// flakySink fails for now for some payloads.
type flakySink struct {
	*sinkstest.Memory
	fails map[string]bool
	err   error
}

func (s *flakySink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	var failures []sinks.Failure
	for i, p := range batch {
		if s.fails[p.ID] {
			failures = append(failures, sinks.Failure{Index: i, Err: s.err})
			continue
		}
		for _, f := range sinks.Failures(1, s.Memory.Deliver(ctx, []sinks.Payload{p})) {
			f.Index = i
			failures = append(failures, f)
		}
	}
	if len(failures) > 0 {
		return &sinks.DeliverError{Failures: failures}
	}
	return nil
}

// A signal lets the batch that is under way arrive, and ends between batches.
func TestRun_Stopped(t *testing.T) {
	t.Parallel()

	b := setup(t, many(250)...)
	stop := errors.New("a signal")
	for _, test := range []struct {
		name     string
		replayed int // by then
		f        func(context.CancelCauseFunc) func(*Options)
	}{
		{"WhileSending", 100, func(cancel context.CancelCauseFunc) func(*Options) {
			return func(o *Options) {
				open := o.Target.open
				o.Target.open = func(ctx context.Context, ref sinks.Ref) (*sinks.Set, error) { cancel(stop); return open(ctx, ref) }
			}
		}},
		{"WhileWaiting", 101, func(cancel context.CancelCauseFunc) func(*Options) {
			return func(o *Options) {
				o.Rate = 0.001 // the first goes at once, the second waits for a quarter of an hour
				o.Each = func(AuditLine) { cancel(stop) }
			}
		}},
		{"WhilePausing", 101, func(cancel context.CancelCauseFunc) func(*Options) {
			return func(o *Options) {
				b.sink.FailNext(1, sinks.Transient, errors.New("away"))
				o.Target.open = func(ctx context.Context, ref sinks.Ref) (*sinks.Set, error) {
					cancel(stop)
					return b.target().open(ctx, ref)
				}
			}
		}},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		rep, err := b.runContext(ctx, t, test.f(cancel))
		require.NoError(t, err, test.name)
		require.False(t, rep.Complete, test.name)
		require.True(t, rep.Left(), test.name)
		require.Equal(t, Counts{Selected: test.replayed, Replayed: test.replayed}, rep.Counts, test.name)
		cancel(nil)
	}
	rep, err := b.run(t, nil)
	require.NoError(t, err)
	require.True(t, rep.Complete)
	require.Equal(t, 250, rep.Replayed)
	require.Len(t, b.ids(), 250, "each once")
}

func TestRun_Rate(t *testing.T) {
	t.Parallel()

	for rate, size := range map[float64]int{0: 100, 0.5: 1, 1: 1, 40: 10, 1000: 100} {
		require.Equal(t, size, batchSize(rate))
	}
	b := setup(t, many(12)...)
	begun := time.Now()
	_, err := b.run(t, func(o *Options) { o.Rate = 40 })
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begun), 45*time.Millisecond, "ten at once, and two a twentieth of a second later")
	require.Len(t, b.ids(), 12)
}

// The outcome of a replay that cannot be written down ends it.
func TestRun_StateFails(t *testing.T) {
	t.Parallel()

	b := setup(t, many(3)...)
	require.NoError(t, os.WriteFile(b.state, nil, 0o600))
	_, err := b.run(t, nil)
	require.ErrorContains(t, err, "making the directory of checkpoints")
	require.NoError(t, os.Remove(b.state))

	_, err = b.run(t, func(o *Options) {
		open := o.Target.open
		o.Target.open = func(ctx context.Context, ref sinks.Ref) (*sinks.Set, error) {
			names, err := filepath.Glob(filepath.Join(b.state, "replay-*.lock"))
			require.NoError(t, err)
			checkpoint := names[0][:len(names[0])-len(".lock")] + ".json"
			require.NoError(t, os.Mkdir(checkpoint, 0o700))
			return open(ctx, ref)
		}
	})
	require.ErrorContains(t, err, "writing the checkpoint")
	_, err = b.run(t, nil)
	require.ErrorContains(t, err, "reading the checkpoint")
	require.ErrorContains(t, err, "remove it")

	names, err := filepath.Glob(filepath.Join(b.state, "replay-*.json"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(names[0]))
	require.NoError(t, os.WriteFile(names[0], []byte("{"), 0o600))
	_, err = b.run(t, nil)
	require.ErrorContains(t, err, "reading the checkpoint "+names[0])
	_, err = b.run(t, func(o *Options) { o.Restart = true })
	require.NoError(t, err)
}

func TestRun_CheckpointOfAnotherQueue(t *testing.T) {
	t.Parallel()

	b := setup(t, many(3)...)
	_, err := b.run(t, nil)
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(b.queue, "*.jsonl"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(names[0], 0))
	_, err = b.run(t, nil)
	require.ErrorContains(t, err, "it lost records or was made again; pass -restart to begin anew")
	_, err = b.run(t, func(o *Options) { o.Restart = true })
	require.NoError(t, err)
}

func TestCheckpoint_Versions(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	s := subject{Queue: "q", Target: "sink"}
	key, err := s.key()
	require.NoError(t, err)
	for text, want := range map[string]string{
		`{"v": 2}`: "its version is 2 and this program reads version 1",
		`{"v": 1`:  "unexpected end",
		`{"v": 1}`: "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "replay-"+key+".json"), []byte(text), 0o600))
		c, err := loadCheckpoint(dir, s)
		if want == "" {
			require.NoError(t, err)
			require.NotNil(t, c.Next)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

// A line that a crash left torn spoils no other.
func TestAudit_TornLine(t *testing.T) {
	t.Parallel()

	b := setup(t, many(2)...)
	require.NoError(t, os.Mkdir(b.state, 0o700))
	path := filepath.Join(b.state, AuditFile)
	require.NoError(t, os.WriteFile(path, []byte(`{"ts":`), 0o600))
	_, err := b.run(t, nil)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), "{\"ts\":\n{\"ts\":\"")
	require.Equal(t, byte('\n'), data[len(data)-1])
}
