package sinkstest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/sinks/sinkstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory_Conforms(t *testing.T) {
	t.Parallel()

	caps := sinkstest.Caps{Upserts: true, AnyBytes: true, NoOwn: "it is in memory", NotShown: map[string]string{"Disk": "there is none"}}
	reported := false
	caps.Report = func(t *testing.T, outcomes []sinkstest.Outcome) {
		t.Helper()

		reported = true
		waived := map[string]string{}
		for _, o := range outcomes {
			if o.Waived != "" {
				waived[o.Name] = o.Waived
			}
		}
		require.Equal(t, map[string]string{
			"Disk": "there is none", "ErrorsKeepSecrets": "the sink has no secrets",
			"KilledMidBatch": "it is in memory", "SurvivesRestart": "it is in memory",
		}, waived)
	}
	t.Cleanup(func() { require.True(t, reported) }) // runs after that of Exercise
	sinkstest.Exercise(t, caps, func(t *testing.T) sinkstest.Harness {
		t.Helper()

		m := sinkstest.NewMemory()
		m.Refuse(func(p sinks.Payload) error {
			if p.Target == "bad" {
				return errors.New("bad target")
			}
			return nil
		})
		return sinkstest.Harness{
			Sink: m,
			Rows: func(sinkstest.T) [][]byte {
				var rows [][]byte
				for _, p := range m.Payloads() {
					rows = append(rows, p.Value)
				}
				return rows
			},
			Bad:    func(int) sinks.Payload { return sinks.Payload{Target: "bad"} },
			Stall:  func(sinkstest.T) func() { return m.Stall() },
			NoDown: "it is in memory",
		}
	})
}

func TestMemory(t *testing.T) {
	t.Parallel()

	batch := []sinks.Payload{{ID: "a", Value: drakkar.Bytes("1")}, {ID: "b", Value: drakkar.Bytes("2")}}

	t.Run("DeliveriesKeepRepetitions", func(t *testing.T) {
		t.Parallel()

		m := sinkstest.NewMemory()
		require.NoError(t, m.Deliver(t.Context(), batch))
		require.NoError(t, m.Deliver(t.Context(), batch[:1]))
		require.Equal(t, batch, m.Payloads())
		require.Equal(t, []sinks.Payload{batch[0], batch[1], batch[0]}, m.Deliveries())
		require.Equal(t, 2, m.Calls())
	})

	t.Run("FailNextFailsWholeBatches", func(t *testing.T) {
		t.Parallel()

		m := sinkstest.NewMemory()
		refused := errors.New("refused")
		m.FailNext(1, sinks.Permanent, refused)
		m.FailNext(1, sinks.Transient, refused)
		for _, class := range []sinks.Class{sinks.Permanent, sinks.Transient} {
			failures := sinks.Failures(2, m.Deliver(t.Context(), batch))
			require.Equal(t, []sinks.Failure{{Index: 0, Class: class, Err: refused}, {Index: 1, Class: class, Err: refused}}, failures)
		}
		require.Empty(t, m.Payloads())
		require.NoError(t, m.Deliver(t.Context(), batch))
	})

	t.Run("RefusesEarly", func(t *testing.T) {
		t.Parallel()

		m := sinkstest.NewMemory()
		require.NoError(t, m.Validate(batch[0]))
		m.RefuseEarly(func(sinks.Payload) error { return errors.New("no") })
		require.Error(t, m.Validate(batch[0]))
		require.NoError(t, m.Deliver(t.Context(), batch))
	})

	t.Run("ClosedTakesNothing", func(t *testing.T) {
		t.Parallel()

		m := sinkstest.NewMemory()
		require.False(t, m.Closed())
		require.NoError(t, m.Close(t.Context()))
		require.True(t, m.Closed())
		require.Error(t, m.Deliver(t.Context(), batch))
	})
}
