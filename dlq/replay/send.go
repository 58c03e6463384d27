package replay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/drakkar-go/drakkar/sinks"
)

// The pauses between attempts at a target that fails for now.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 30 * time.Second
)

// send brings the batch to the target and settles what arrived and what was
// refused. What fails for now is tried again; what is left has an error, or ctx
// has ended.
func (r *run) send(ctx context.Context) (left []item, err error) {
	left = r.batch
	r.sent += len(left)
	defer func() { r.sent -= len(left) }()
	begun := time.Now()
	for attempt, pause := 1, firstPause; len(left) > 0; attempt, pause = attempt+1, min(2*pause, maxPause) {
		// What is under way may arrive although the replay is being stopped: the
		// policy of its sink bounds it.
		failures, err := r.o.Target.send(sinks.WithAttempt(context.WithoutCancel(ctx), attempt), left)
		if err != nil {
			return left, err
		}
		var last sinks.SinkFailure
		left, last = r.sort(left, failures)
		if len(left) == 0 {
			break
		}
		wait := max(pause, last.RetryAfter)
		if time.Since(begun)+wait > r.o.Patience {
			return left, fmt.Errorf("%s did not take %d dead letters for %s, among them %s: %w", last.Ref, len(left), r.o.Patience, left[0].entry.At, last.Err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return left, context.Cause(ctx)
		}
	}
	return nil, nil
}

// sort settles what arrived and what was refused for good. It returns what is to
// be tried again, and the failure that asks for the longest pause.
func (r *run) sort(items []item, failures []sinks.SinkFailure) (again []item, last sinks.SinkFailure) {
	failed := map[int]sinks.SinkFailure{}
	for _, f := range failures {
		failed[f.Index] = f
	}
	for i, it := range items {
		f, ok := failed[i]
		switch {
		case !ok:
			r.settled(it.entry, Replayed, nil)
		case f.Class == sinks.Permanent:
			r.settled(it.entry, Failed, f.Err)
			r.refused[it.once] = struct{}{}
			r.mark.Failed = append(r.mark.Failed, it.entry.At)
		default:
			if again = append(again, it); last.Err == nil || f.RetryAfter > last.RetryAfter {
				last = f
			}
		}
	}
	return again, last
}

// sum stands for a text, in few bytes.
func sum(text string) [16]byte {
	full := sha256.Sum256([]byte(text))
	return [16]byte(full[:16])
}
