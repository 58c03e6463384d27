package sinks

import "context"

// Attempt is which attempt a Deliver is, counted from 1, as far as the caller
// has said so: see [WithAttempt]. One that begins anew after a crash has the
// number of the one that was cut off.
func Attempt(ctx context.Context) int { return attempt(ctx) }
