package app

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/drakkar-go/drakkar/executor"
)

// used and released are what the SDK tells a slot supplier. Other methods are
// not asked for.
type used struct {
	worker.SlotMarkUsedInfo
	permit *worker.SlotPermit
}

func (u used) Permit() *worker.SlotPermit { return u.permit }

type released struct {
	worker.SlotReleaseInfo
	permit *worker.SlotPermit
}

func (r released) Permit() *worker.SlotPermit { return r.permit }

// The worker polls while the pool has less at hand than slots: with two slots,
// a batch of one leaves room for a poll, and a batch of many leaves none until
// its tasks have begun.
func TestSlots(t *testing.T) {
	t.Parallel()

	admission := executor.NewAdmission(2, maxPolling)
	s := &slots{admission: admission}
	first := s.TryReserveSlot(nil)
	require.NotNil(t, first)
	s.MarkSlotUsed(used{permit: first})
	batch := admission.Arrived(3)
	require.Nil(t, s.TryReserveSlot(nil), "three tasks wait for two slots")

	batch.Started()
	require.Nil(t, s.TryReserveSlot(nil), "two still do")
	batch.Started()
	second := s.TryReserveSlot(nil)
	require.NotNil(t, second, "one waits: another can be fetched")
	require.Nil(t, s.TryReserveSlot(nil), "that poll may bring a task of its own")

	s.ReleaseSlot(released{permit: second}) // it brought nothing
	require.NotNil(t, s.TryReserveSlot(nil))
	batch.Started()
	batch.Close()
	s.ReleaseSlot(released{permit: first})
	require.Zero(t, admission.Unstarted())
	require.Zero(t, s.MaxSlots(), "there is no fixed number of batches")
}

// Reserve waits for room, and no longer than the worker lives.
func TestSlots_ReserveWaits(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		admission := executor.NewAdmission(1, maxPolling)
		s := &slots{admission: admission}
		first, err := s.ReserveSlot(t.Context(), nil)
		require.NoError(t, err)
		s.MarkSlotUsed(used{permit: first})
		batch := admission.Arrived(1)

		got := make(chan *worker.SlotPermit, 1)
		go func() {
			p, _ := s.ReserveSlot(t.Context(), nil)
			got <- p
		}()
		synctest.Wait()
		require.Empty(t, got, "the one task at hand has no slot yet")
		batch.Started()
		synctest.Wait()
		require.NotNil(t, <-got)

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.ReserveSlot(ctx, nil)
			ended <- err
		}()
		synctest.Wait()
		require.Empty(t, ended)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A permit that is not of this supplier is let go without being counted.
func TestSlots_ForeignPermit(t *testing.T) {
	t.Parallel()

	admission := executor.NewAdmission(4, 4)
	s := &slots{admission: admission}
	for range 3 {
		require.NotNil(t, s.TryReserveSlot(nil))
		s.MarkSlotUsed(used{permit: &worker.SlotPermit{UserData: "foreign"}})
		s.ReleaseSlot(released{permit: &worker.SlotPermit{}})
	}
	require.Zero(t, admission.Unstarted())
}

func TestExecuteTuner(t *testing.T) {
	t.Parallel()

	tuner, err := executeTuner(executor.NewAdmission(1, 1))
	require.NoError(t, err)
	require.IsType(t, &slots{}, tuner.GetActivityTaskSlotSupplier(), "batches ask the pool")
	require.NotNil(t, tuner.GetWorkflowTaskSlotSupplier())
}
