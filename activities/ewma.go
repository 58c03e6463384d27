package activities

import "sync/atomic"

// ewma is a running mean of durations or of numbers of bytes, in which the last
// observations count most. The zero value has seen nothing.
type ewma[T ~int64] struct{ mean atomic.Int64 }

// weight is that of one observation: the mean follows a change within some
// tens of them.
const weight = 16

func (e *ewma[T]) observe(v T) {
	for {
		old := e.mean.Load()
		next := int64(v)
		if old != 0 {
			next = old + (int64(v)-old)/weight
		}
		if e.mean.CompareAndSwap(old, max(1, next)) {
			return
		}
	}
}

// value is the mean, 0 before the first observation.
func (e *ewma[T]) value() T { return T(e.mean.Load()) }
