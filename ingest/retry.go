package ingest

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between the attempts of what has to succeed in the end.
const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
)

// backoff is the pause before attempt n, which counts from 1: twice as long
// each time, and half of it random so that partitions do not come in step.
func backoff(n int) time.Duration {
	d := retryFirst << min(max(n-1, 0), 10)
	d = min(d, retryMax)
	return d/2 + rand.N(d/2) //nolint:gosec // jitter need not be unpredictable
}

// pause waits, or returns the cause of ctx's end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
