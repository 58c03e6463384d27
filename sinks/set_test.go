package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/config"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder keeps events.
type recorder struct {
	mu  sync.Mutex
	all []events.Event
}

func (r *recorder) Record(e events.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
}

// of are the recorded events of a type.
func of[E events.Event](r *recorder) []E {
	r.mu.Lock()
	defer r.mu.Unlock()
	var es []E
	for _, e := range r.all {
		if e, ok := e.(E); ok {
			es = append(es, e)
		}
	}
	return es
}

// funcSink is a sink made of functions.
type funcSink struct {
	deliver func(ctx context.Context, batch []sinks.Payload) error
	check   func(ctx context.Context) error
	close   func(ctx context.Context) error
}

func (s funcSink) Deliver(ctx context.Context, batch []sinks.Payload) error {
	return s.deliver(ctx, batch)
}

func (s funcSink) Check(ctx context.Context) error { return s.check(ctx) }
func (s funcSink) Close(ctx context.Context) error { return s.close(ctx) }

var (
	kafkaRef = ref(sinks.Kafka, "results")
	redisRef = ref(sinks.Redis, "sessions")
)

type testBundle struct {
	rec    *recorder
	policy sinks.Policy
	kafka  *sinkstest.Memory
	redis  *sinkstest.Memory
	set    *sinks.Set
}

func setup(t *testing.T) *testBundle {
	t.Helper()

	b := &testBundle{rec: &recorder{}, kafka: sinkstest.NewMemory(), redis: sinkstest.NewMemory()}
	b.policy = sinks.Policy{
		Delivery: config.Delivery{OnOpen: "hold", Timeout: time.Minute, BatchSize: 3},
		Breaker:  config.CircuitBreaker{FailureThreshold: 2, Cooldown: time.Minute},
	}
	var err error
	b.set, err = sinks.NewSet([]sinks.Instance{
		{Ref: kafkaRef, Sink: b.kafka, Policy: b.policy, Target: "results-topic"},
		{Ref: redisRef, Sink: b.redis, Policy: b.policy},
	}, b.rec)
	require.NoError(t, err)
	return b
}

// one makes a set with one Kafka sink.
func one(t *testing.T, s sinks.Sink, policy sinks.Policy) (*sinks.Set, *recorder) {
	t.Helper()

	rec := &recorder{}
	set, err := sinks.NewSet([]sinks.Instance{{Ref: kafkaRef, Sink: s, Policy: policy}}, rec)
	require.NoError(t, err)
	return set, rec
}

func payloads(to sinks.Ref, from, n int) []sinks.Payload {
	ps := make([]sinks.Payload, n)
	for i := range ps {
		ps[i] = sinks.Payload{
			ID: fmt.Sprintf("%s/%d", to, from+i), To: to,
			Source: drakkar.Source{Topic: "orders", Partition: 1, Offset: int64(from + i)},
		}
	}
	return ps
}

func indices(fs []sinks.SinkFailure) []int {
	is := make([]int, len(fs))
	for i, f := range fs {
		is[i] = f.Index
	}
	return is
}

func TestSet_Deliver(t *testing.T) {
	t.Parallel()

	t.Run("BatchesInOrder", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		ps := payloads(kafkaRef, 0, 8)
		require.Empty(t, b.set.Deliver(t.Context(), ps))
		require.Equal(t, ps, b.kafka.Deliveries())
		require.Equal(t, 3, b.kafka.Calls(), "8 payloads in batches of 3")
		require.Len(t, of[events.SinkDelivered](b.rec), 3)

		require.Empty(t, b.set.Deliver(t.Context(), nil))
		require.Equal(t, 3, b.kafka.Calls())
	})

	t.Run("RecordsWhatArrived", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		p := payloads(kafkaRef, 7, 1)[0]
		q := payloads(redisRef, 8, 1)[0]
		q.Key = drakkar.Bytes("k")
		r := p
		r.Topic = "other"
		require.Empty(t, b.set.Deliver(t.Context(), []sinks.Payload{p, q, r}))
		at := events.At{Topic: "orders", Partition: 1, Offset: 7}
		kafka := events.Sink{Type: "kafka", Name: "results"}
		require.ElementsMatch(t, []events.Produced{
			{At: at, ID: p.ID, Sink: kafka, Target: "results-topic"},
			{At: at, ID: r.ID, Sink: kafka, Target: "other"},
			{At: events.At{Topic: "orders", Partition: 1, Offset: 8}, ID: q.ID, Sink: events.Sink{Type: "redis", Name: "sessions"}, Target: "k"},
		}, of[events.Produced](b.rec))
		require.Empty(t, of[events.SinkError](b.rec))
	})

	t.Run("ASinkMayGiveNoReason", func(t *testing.T) {
		t.Parallel()

		set, _ := one(t, funcSink{deliver: func(context.Context, []sinks.Payload) error {
			return &sinks.DeliverError{Failures: []sinks.Failure{{Index: 1, Class: sinks.Permanent}}}
		}}, setup(t).policy)
		failures := set.Deliver(t.Context(), payloads(kafkaRef, 0, 2))
		require.Equal(t, []int{1}, indices(failures))
		require.EqualError(t, failures[0].Err, "the sink gave no reason")
	})

	t.Run("NamesPayloadsByTheirPlace", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		broken := errors.New("broken")
		b.kafka.Refuse(func(p sinks.Payload) error {
			if p.Source.Offset == 3 || p.Source.Offset == 4 {
				return broken
			}
			return nil
		})
		b.redis.FailNext(1, sinks.Transient, broken)
		var mixed []sinks.Payload // k0 r0 k1 r1 ...
		for i := range 5 {
			mixed = append(mixed, payloads(kafkaRef, i, 1)[0], payloads(redisRef, i, 1)[0])
		}
		failures := b.set.Deliver(sinks.WithAttempt(t.Context(), 4), mixed)
		require.Equal(t, []int{1, 3, 5, 6, 8}, indices(failures))
		for _, f := range failures {
			require.Equal(t, mixed[f.Index].To, f.Ref)
			require.ErrorIs(t, f.Err, broken)
			require.Equal(t, f.Ref == kafkaRef, f.Class == sinks.Permanent)
			require.False(t, f.BreakerOpen)
		}
		require.Len(t, b.kafka.Payloads(), 3)
		require.Len(t, b.redis.Payloads(), 2, "the second batch is tried after the first failed")
		require.Len(t, of[events.Produced](b.rec), 5)
		require.ElementsMatch(t, []events.SinkError{
			{Sink: events.Sink{Type: "kafka", Name: "results"}, Class: "permanent", Payloads: 2, Attempt: 4, Err: broken},
			{Sink: events.Sink{Type: "redis", Name: "sessions"}, Class: "transient", Payloads: 3, Attempt: 4, Err: broken},
		}, of[events.SinkError](b.rec))
	})

	t.Run("InstancesAtTheSameTime", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			resume := b.kafka.Stall()
			done := make(chan []sinks.SinkFailure)
			go func() {
				done <- b.set.Deliver(t.Context(), append(payloads(kafkaRef, 0, 1), payloads(redisRef, 0, 1)...))
			}()
			synctest.Wait()
			require.Len(t, b.redis.Payloads(), 1, "redis does not wait for kafka")
			require.Empty(t, b.kafka.Payloads())
			resume()
			require.Empty(t, <-done)
		})
	})

	t.Run("NotConfiguredHere", func(t *testing.T) {
		t.Parallel()

		b := setup(t)
		ps := append(payloads(ref(sinks.Mongo, "old"), 0, 2), payloads(kafkaRef, 0, 1)...)
		failures := b.set.Deliver(t.Context(), ps)
		require.Equal(t, []int{0, 1}, indices(failures))
		require.Equal(t, sinks.Transient, failures[0].Class)
		require.EqualError(t, failures[0].Err, "sinks.mongo.old is not configured in this process")
		require.Len(t, b.kafka.Payloads(), 1)
		require.Equal(t, 2, of[events.SinkError](b.rec)[0].Payloads)
	})

	t.Run("BatchTimesOut", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			b.kafka.Stall()
			begun := time.Now()
			failures := b.set.Deliver(t.Context(), payloads(kafkaRef, 0, 4))
			require.Equal(t, 2*time.Minute, time.Since(begun), "each batch may take its timeout")
			require.Len(t, failures, 4)
			require.Equal(t, sinks.Transient, failures[0].Class)
			require.ErrorContains(t, failures[0].Err, "sinks.kafka.results.timeout (1m0s)")
			require.Equal(t, "open", of[events.BreakerChanged](b.rec)[0].State)
		})
	})

	t.Run("ContextEnds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			b.kafka.Stall()
			called := errors.New("called off")
			for range 3 {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, called)
				failures := b.set.Deliver(ctx, payloads(kafkaRef, 0, 9))
				cancel()
				require.Len(t, failures, 9)
				for _, f := range failures {
					require.Equal(t, sinks.Transient, f.Class)
					require.ErrorIs(t, f.Err, called)
				}
			}
			require.Empty(t, of[events.BreakerChanged](b.rec), "it says nothing about the sink")
		})
	})

	t.Run("PanicIsTransient", func(t *testing.T) {
		t.Parallel()

		set, _ := one(t, funcSink{deliver: func(context.Context, []sinks.Payload) error { panic("driver bug") }}, sinks.Policy{})
		failures := set.Deliver(t.Context(), payloads(kafkaRef, 0, 2))
		require.Len(t, failures, 2)
		require.Equal(t, sinks.Transient, failures[1].Class)
		var pe *sinks.PanicError
		require.ErrorAs(t, failures[1].Err, &pe)
		require.EqualError(t, pe, "the sink panicked: driver bug")
		require.Contains(t, pe.Stack, "set_test.go")
	})

	t.Run("SinksThatCannotCount", func(t *testing.T) {
		t.Parallel()

		cause := errors.New("confused")
		for name, err := range map[string]error{
			"NamesNone":    &sinks.DeliverError{},
			"TypedNil":     (*sinks.DeliverError)(nil),
			"OutOfRange":   &sinks.DeliverError{Failures: []sinks.Failure{{Index: 2, Class: sinks.Permanent, Err: cause}}},
			"Negative":     &sinks.DeliverError{Failures: []sinks.Failure{{Index: -1, Class: sinks.Permanent, Err: cause}}},
			"AnyOtherKind": cause,
		} {
			set, _ := one(t, funcSink{deliver: func(context.Context, []sinks.Payload) error { return err }}, sinks.Policy{})
			failures := set.Deliver(t.Context(), payloads(kafkaRef, 0, 2))
			require.Equal(t, []int{0, 1}, indices(failures), name)
			require.Equal(t, sinks.Transient, failures[0].Class, name)
			require.Error(t, failures[0].Err, name)
		}
	})

	t.Run("RetryAfterIsPassedOn", func(t *testing.T) {
		t.Parallel()

		set, _ := one(t, funcSink{deliver: func(context.Context, []sinks.Payload) error {
			return fmt.Errorf("wrapped: %w", &sinks.DeliverError{Failures: []sinks.Failure{
				{Index: 1, RetryAfter: time.Hour}, {Index: 1}, {Index: 0},
			}})
		}}, sinks.Policy{})
		failures := set.Deliver(t.Context(), payloads(kafkaRef, 0, 3))
		require.Equal(t, []int{0, 1}, indices(failures), "ordered, each once")
	})
}

func TestSet_Breaker(t *testing.T) {
	t.Parallel()

	down := errors.New("down")

	t.Run("KeepsPayloadsBackWhileOpen", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			b.kafka.FailNext(2, sinks.Transient, down)
			require.Len(t, b.set.Deliver(t.Context(), payloads(kafkaRef, 0, 6)), 6)
			require.Equal(t, 2, b.kafka.Calls())

			<-time.After(15 * time.Second) // of synctest's clock
			failures := b.set.Deliver(t.Context(), append(payloads(kafkaRef, 0, 4), payloads(redisRef, 0, 1)...))
			require.Equal(t, []int{0, 1, 2, 3}, indices(failures))
			for _, f := range failures {
				require.True(t, f.BreakerOpen)
				require.Equal(t, sinks.Transient, f.Class)
				require.Equal(t, 45*time.Second, f.RetryAfter)
				require.ErrorIs(t, f.Err, sinks.ErrBreakerOpen)
			}
			require.Equal(t, 2, b.kafka.Calls(), "the sink is not touched")
			errs := of[events.SinkError](b.rec)
			require.Equal(t, 0, errs[len(errs)-1].Attempt)

			<-time.After(45 * time.Second)
			require.Empty(t, b.set.Deliver(t.Context(), payloads(kafkaRef, 0, 6)))
			require.Equal(t, []events.BreakerChanged{
				{Sink: events.Sink{Type: "kafka", Name: "results"}, State: "open"},
				{Sink: events.Sink{Type: "kafka", Name: "results"}, State: "half_open"},
				{Sink: events.Sink{Type: "kafka", Name: "results"}, State: "closed"},
			}, of[events.BreakerChanged](b.rec))
		})
	})

	t.Run("OnlyAFailingSinkOpensIt", func(t *testing.T) {
		t.Parallel()

		transient := func(i int) sinks.Failure { return sinks.Failure{Index: i, Class: sinks.Transient, Err: down} }
		permanent := func(i int) sinks.Failure { return sinks.Failure{Index: i, Class: sinks.Permanent, Err: down} }
		for name, tc := range map[string]struct {
			failures []sinks.Failure
			opens    bool
		}{
			"AllTransient":          {[]sinks.Failure{transient(0), transient(1)}, true},
			"NothingTaken":          {[]sinks.Failure{transient(0), permanent(1)}, true},
			"OneDelivered":          {[]sinks.Failure{transient(0)}, false},
			"AllRefused":            {[]sinks.Failure{permanent(0), permanent(1)}, false},
			"OneRefusedOneAccepted": {[]sinks.Failure{permanent(0)}, false},
		} {
			sink := funcSink{deliver: func(context.Context, []sinks.Payload) error {
				return &sinks.DeliverError{Failures: tc.failures}
			}}
			set, rec := one(t, sink, sinks.Policy{Breaker: config.CircuitBreaker{FailureThreshold: 3, Cooldown: time.Hour}})
			for range 3 {
				set.Deliver(t.Context(), payloads(kafkaRef, 0, 2))
			}
			require.Equal(t, tc.opens, len(of[events.BreakerChanged](rec)) == 1, name)
		}
	})
}

func TestSet_Policy(t *testing.T) {
	t.Parallel()

	b := setup(t)
	got, ok := b.set.Policy(kafkaRef)
	require.True(t, ok)
	require.Equal(t, b.policy, got)
	_, ok = b.set.Policy(ref(sinks.Mongo, "x"))
	require.False(t, ok)
	require.Equal(t, []sinks.Ref{kafkaRef, redisRef}, b.set.Refs())
}

func TestSet_Check(t *testing.T) {
	t.Parallel()

	broken := errors.New("broken")
	sick := funcSink{check: func(context.Context) error { return broken }}
	panics := funcSink{check: func(context.Context) error { panic("oops") }}
	set, err := sinks.NewSet([]sinks.Instance{
		{Ref: ref(sinks.Kafka, "well"), Sink: sinkstest.NewMemory()},
		{Ref: ref(sinks.Kafka, "sick"), Sink: sick},
		{Ref: ref(sinks.Kafka, "panics"), Sink: panics},
		{Ref: ref(sinks.Kafka, "mute"), Sink: struct{ sinks.Sink }{sick}},
	}, events.Discard)
	require.NoError(t, err)
	got := set.Check(t.Context())
	require.Len(t, got, 2)
	require.ErrorIs(t, got[ref(sinks.Kafka, "sick")], broken)
	require.Error(t, got[ref(sinks.Kafka, "panics")])
}

func TestSet_CloseAll(t *testing.T) {
	t.Parallel()

	t.Run("OneFailsAllClose", func(t *testing.T) {
		t.Parallel()

		well := sinkstest.NewMemory()
		broken := errors.New("broken")
		set, err := sinks.NewSet([]sinks.Instance{
			{Ref: ref(sinks.Kafka, "broken"), Sink: funcSink{close: func(context.Context) error { return broken }}},
			{Ref: ref(sinks.Kafka, "panics"), Sink: funcSink{close: func(context.Context) error { panic("oops") }}},
			{Ref: ref(sinks.Kafka, "well"), Sink: well},
		}, events.Discard)
		require.NoError(t, err)
		err = set.CloseAll(t.Context())
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "closing kafka:broken: broken\nclosing kafka:panics: the sink panicked: oops")
		require.True(t, well.Closed())
	})

	t.Run("IsBounded", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			set, _ := one(t, funcSink{close: func(context.Context) error { <-release; return nil }}, sinks.Policy{})
			called := errors.New("called off")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, called)
			defer cancel()
			require.ErrorIs(t, set.CloseAll(ctx), called)
			close(release)
		})
	})
}

func TestAttempt(t *testing.T) {
	t.Parallel()

	require.Equal(t, 1, sinks.Attempt(t.Context()))
	require.Equal(t, 3, sinks.Attempt(sinks.WithAttempt(t.Context(), 3)))
	require.False(t, sinks.Repeated(sinks.WithAttempt(t.Context(), 1)))
	require.True(t, sinks.Repeated(sinks.WithAttempt(t.Context(), 2)))
	require.True(t, sinks.Repeated(sinks.WithRepeat(t.Context())))
}
