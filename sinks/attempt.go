package sinks

import "context"

// Attempt is which attempt a Deliver is, counted from 1, as far as the caller
// has said so: see [WithAttempt]. One that begins anew after a crash has the
// number of the one that was cut off.
func Attempt(ctx context.Context) int { return attempt(ctx) }

type repeatKey struct{}

// WithRepeat says in ctx that the payloads may have been sent before, in an
// attempt that was cut off and is not counted: its worker stopped or died.
func WithRepeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey{}, true)
}

// Repeated reports whether the payloads may have been sent before, as far as the
// caller has said so: see [WithAttempt] and [WithRepeat].
func Repeated(ctx context.Context) bool {
	return attempt(ctx) > 1 || ctx.Value(repeatKey{}) != nil
}
