package activities

import (
	"context"
	"fmt"
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
)

// resume takes over what an earlier run of this batch had finished.
func (r *batchRun) resume(ctx context.Context) error {
	if !activity.HasHeartbeatDetails(ctx) {
		return nil
	}
	if err := activity.GetHeartbeatDetails(ctx, &r.kept); err != nil {
		return fmt.Errorf("reading what the last run had finished: %w", err)
	}
	done, err := unpackAll(ctx, r.a.Blobs, r.kept)
	if err != nil {
		return err
	}
	for _, d := range done {
		if d.I >= 0 && d.I < len(r.done) {
			r.done[d.I] = &d
		}
	}
	return nil
}

// heartbeat records what is finished, each second and a last time when stopped.
func (r *batchRun) heartbeat(ctx context.Context) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(min(beatEvery, r.a.cfg.HeartbeatTimeout/3))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.beat(ctx)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// beat records what has ended since the last one, along with what was recorded
// before.
func (r *batchRun) beat(ctx context.Context) {
	r.mu.Lock()
	fresh := make([]taskDone, len(r.fresh))
	for i, d := range r.fresh {
		fresh[i] = *d
	}
	r.fresh = nil
	r.mu.Unlock()

	if len(fresh) > 0 {
		inline := 0
		for _, l := range r.kept {
			inline += l.Inline()
		}
		list, err := blobs.Pack(ctx, r.a.Blobs, prefix(r.in.Window), max(0, beatInline-inline), fresh)
		if err == nil {
			r.kept = append(r.kept, list)
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
	activity.RecordHeartbeat(ctx, r.kept)
}
