package app

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/worker"

	"github.com/drakkar-go/drakkar/executor"
)

// slots makes Temporal's worker ask the pool for room before it polls for a
// batch, so that a busy executor takes no work which an idle one could begin.
type slots struct {
	admission *executor.Admission
}

var _ worker.SlotSupplier = (*slots)(nil)

// permit is what a slot carries: whether its poll has brought a batch.
type permit struct{ used bool }

// ReserveSlot implements worker.SlotSupplier.
func (s *slots) ReserveSlot(ctx context.Context, _ worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	if err := s.admission.Reserve(ctx); err != nil {
		return nil, err
	}
	return &worker.SlotPermit{UserData: &permit{}}, nil
}

// TryReserveSlot implements worker.SlotSupplier.
func (s *slots) TryReserveSlot(worker.SlotReservationInfo) *worker.SlotPermit {
	if !s.admission.TryReserve() {
		return nil
	}
	return &worker.SlotPermit{UserData: &permit{}}
}

// MarkSlotUsed implements worker.SlotSupplier.
func (s *slots) MarkSlotUsed(info worker.SlotMarkUsedInfo) {
	if p, ok := info.Permit().UserData.(*permit); ok {
		p.used = true
		s.admission.Used()
	}
}

// ReleaseSlot implements worker.SlotSupplier.
func (s *slots) ReleaseSlot(info worker.SlotReleaseInfo) {
	p, ok := info.Permit().UserData.(*permit)
	s.admission.Release(ok && p.used)
}

// MaxSlots implements worker.SlotSupplier: there is no fixed number of batches.
func (s *slots) MaxSlots() int { return 0 }

// executeTuner is the tuner of the worker that polls for batches.
func executeTuner(a *executor.Admission) (worker.WorkerTuner, error) {
	fixed, err := worker.NewFixedSizeSlotSupplier(1)
	if err != nil {
		return nil, fmt.Errorf("making the slots of the Execute worker: %w", err)
	}
	return worker.NewCompositeTuner(worker.CompositeTunerOptions{
		WorkflowSlotSupplier: fixed, LocalActivitySlotSupplier: fixed, NexusSlotSupplier: fixed,
		SessionActivitySlotSupplier: fixed, ActivitySlotSupplier: &slots{admission: a},
	})
}
