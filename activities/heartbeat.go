package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/drakkar-go/drakkar/blobs"
)

const (
	// beatEvery is the pause between heartbeats. A worker's death costs what
	// ran then, and what ended since the last one.
	beatEvery = time.Second

	// beatInline is what heartbeats hold themselves; what is more goes to the
	// blob store, and they hold references.
	beatInline = 64 << 10

	// maxKept is how many lists a heartbeat holds before they become one.
	maxKept = 100
)

// resume takes over what an earlier run of this batch had finished.
func (r *batchRun) resume(ctx context.Context) error {
	lists := r.kept
	r.kept = nil
	for _, l := range lists {
		done, err := blobs.Unpack(ctx, r.a.Blobs, l)
		if blobs.Lost(err) {
			// The tasks are there, so nothing is lost but time.
			r.a.Log.Error("what the last run had finished is lost, it runs again: " + err.Error())
			continue
		}
		if err != nil {
			return err
		}
		r.kept = append(r.kept, l)
		for _, d := range done {
			if d.I >= 0 && d.I < len(r.done) {
				r.done[d.I] = &d
			}
		}
	}
	return nil
}

// heartbeat records what is finished, each second.
func (r *batchRun) heartbeat(ctx context.Context) (stop func()) {
	every := min(beatEvery, r.a.cfg.HeartbeatTimeout/3)
	return ticking(context.WithoutCancel(ctx), every, func() { r.beat(ctx) })
}

// beat records what has ended since the last one, along with what was recorded
// before.
func (r *batchRun) beat(ctx context.Context) {
	kept := r.kept
	r.mu.Lock()
	if len(kept) > maxKept { // one list instead of many references
		kept, r.fresh = nil, r.recordable()
	}
	fresh := make([]taskDone, len(r.fresh))
	for i, d := range r.fresh {
		fresh[i] = *d
	}
	r.fresh = nil
	r.mu.Unlock()

	if len(fresh) > 0 {
		inline := 0
		for _, l := range kept {
			inline += l.Inline()
		}
		list, err := blobs.Pack(ctx, r.a.Blobs, prefix(r.in.Window), max(0, beatInline-inline), fresh)
		if err == nil {
			kept = append(kept, list)
			r.kept = kept
		} else {
			// What is not recorded may run twice after a crash, and only then.
			r.a.Log.Warn("recording finished tasks: " + err.Error())
			r.mu.Lock()
			for i := range fresh {
				r.fresh = append(r.fresh, &fresh[i])
			}
			r.mu.Unlock()
		}
	}
	r.telling.Lock()
	r.told = runState{Kept: r.kept, From: r.from}
	r.telling.Unlock()
	r.tell(ctx)
}

// tell sends a heartbeat with what is recorded so far.
func (r *batchRun) tell(ctx context.Context) {
	r.telling.Lock()
	defer r.telling.Unlock()
	activity.RecordHeartbeat(ctx, r.told)
}

// recordable are the tasks which a heartbeat keeps.
func (r *batchRun) recordable() []*taskDone {
	var out []*taskDone
	for i, d := range r.done {
		if d != nil && !d.handedBack(r.specs[i]) {
			out = append(out, d)
		}
	}
	return out
}
