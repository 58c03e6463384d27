package activities

import (
	"sync/atomic"
	"time"
)

// ewma is a running mean of durations in which the last observations count
// most. The zero value has seen nothing.
type ewma struct{ nanos atomic.Int64 }

// weight is that of one observation: the mean follows a change within some
// tens of them.
const weight = 16

func (e *ewma) observe(d time.Duration) {
	for {
		old := e.nanos.Load()
		next := int64(d)
		if old != 0 {
			next = old + (int64(d)-old)/weight
		}
		if e.nanos.CompareAndSwap(old, max(1, next)) {
			return
		}
	}
}

// value is the mean, 0 before the first observation.
func (e *ewma) value() time.Duration { return time.Duration(e.nanos.Load()) }
