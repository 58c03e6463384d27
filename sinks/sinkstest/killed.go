package sinkstest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drakkar-go/drakkar/sinks"
)

// killedMidBatch delivers all the time while the server is killed and started
// again. What counted as delivered before has to be there after.
func killedMidBatch(t T, caps Caps, h Harness) {
	const deliverers, most = 4, 200
	ctx, cancel := context.WithTimeout(t.Context(), 4*enough)
	defer cancel()
	var restarted atomic.Bool
	begun, done := make(chan struct{}, deliverers*most), make(chan error, deliverers)
	delivered := make([]int, deliverers) // batches
	for d := range deliverers {
		go func() {
			var err error
			for more := true; more && err == nil && delivered[d] < most; delivered[d]++ {
				begun <- struct{}{}
				more = !restarted.Load()
				err = h.deliverAll(ctx, h.payloads((d*most+delivered[d])*killedSize, killedSize))
			}
			done <- err
		}()
	}
	for range 2 * deliverers {
		<-begun
	}
	h.Kill(t)
	h.Restart(t)
	restarted.Store(true)
	for range deliverers {
		require.NoError(t, <-done)
	}
	var want []string
	for d, n := range delivered {
		want = append(want, values(h.payloads(d*most*killedSize, n*killedSize)...)...)
	}
	if caps.Upserts {
		h.holds(t, want)
		return
	}
	h.holdsAtLeast(t, want)
}

// killedSize is how many payloads a batch has whose server is killed.
const killedSize = 50

// deliverAll delivers a batch until all of it has arrived.
func (h Harness) deliverAll(ctx context.Context, batch []sinks.Payload) error {
	const pause = 50 * time.Millisecond
	for {
		err := h.once(ctx, batch)
		var left []sinks.Payload
		for _, f := range sinks.Failures(len(batch), err) {
			if f.Class == sinks.Permanent {
				return f.Err
			}
			left = append(left, batch[f.Index])
		}
		if batch = left; len(batch) == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (h Harness) once(ctx context.Context, batch []sinks.Payload) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	return h.Sink.Deliver(ctx, batch)
}
