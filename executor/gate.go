package executor

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"sync"
)

// gate hands out slots.
//
// A free slot goes to the waiter with the smallest priority. Among equals it
// goes to the partition which was served least recently, and within a partition
// to the lowest offset, then to whoever came first. All steps are O(log n).
//
// Invariant: while somebody waits, no slot is free.
type gate struct {
	slots int

	mu    sync.Mutex
	free  queue[int]          // indices of free slots, smallest first
	lanes map[partition]*lane // every partition seen: as many as Kafka has
	ready queue[*lane]        // lanes with waiters, next to be served first
	turn  uint64              // counts slots given
	seq   uint64              // counts arrivals
	count int                 // of waiters
}

// partition is what slots are shared fairly between.
type partition struct {
	topic  string
	number int32
}

// lane holds the waiters of one partition.
type lane struct {
	waiters queue[*waiter]
	served  uint64 // turn of its last slot
	place   int    // in gate.ready, or -1
}

// waiter is a task that wants a slot.
type waiter struct {
	partition partition
	priority  float64
	offset    int64

	slot  chan int // receives the slot; never blocks the giver
	lane  *lane
	seq   uint64
	place int // in lane.waiters, or -1
}

func newWaiter(j Job) *waiter {
	w := &waiter{
		partition: partition{topic: j.At.Topic, number: j.At.Partition},
		priority:  j.Priority, offset: j.At.Offset,
		slot: make(chan int, 1), place: -1,
	}
	if math.IsNaN(w.priority) {
		w.priority = 0 // NaN has no order, and the heaps need one
	}
	return w
}

// before is the order within a partition.
func (w *waiter) before(o *waiter) bool {
	return cmp.Or(cmp.Compare(w.priority, o.priority), cmp.Compare(w.offset, o.offset), cmp.Compare(w.seq, o.seq)) < 0
}

// before is the order of partitions, by their first waiters.
func (l *lane) before(o *lane) bool {
	a, b := l.waiters.items[0], o.waiters.items[0]
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(l.served, o.served), cmp.Compare(a.seq, b.seq)) < 0
}

func newGate(slots int) *gate {
	g := &gate{
		slots: slots,
		lanes: make(map[partition]*lane),
		free:  queue[int]{before: func(a, b int) bool { return a < b }, moved: func(int, int) {}},
		ready: queue[*lane]{before: (*lane).before, moved: func(l *lane, i int) { l.place = i }},
	}
	for i := range slots {
		heap.Push(&g.free, i)
	}
	return g
}

// take waits for a slot and returns its index. The error is the cause of ctx,
// or ErrStopped once closed is closed.
func (g *gate) take(ctx context.Context, closed <-chan struct{}, w *waiter) (int, error) {
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	g.join(w)
	select {
	case slot := <-w.slot:
		return slot, nil
	default:
	}
	select {
	case slot := <-w.slot:
		return slot, nil
	case <-ctx.Done():
		g.leave(w)
		return -1, context.Cause(ctx)
	case <-closed:
		g.leave(w)
		return -1, ErrStopped
	}
}

// join adds a waiter, which may get its slot at once.
func (g *gate) join(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()

	l := g.lanes[w.partition]
	if l == nil {
		l = &lane{place: -1, waiters: queue[*waiter]{
			before: (*waiter).before, moved: func(w *waiter, i int) { w.place = i },
		}}
		g.lanes[w.partition] = l
	}
	g.seq++
	w.seq, w.lane = g.seq, l
	heap.Push(&l.waiters, w)
	g.count++
	g.settle(l)
	g.serve()
}

// leave takes back a waiter that gave up. It may have been handed a slot in the
// meantime, between its context's end and this lock: that one goes on to the
// next.
func (g *gate) leave(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if w.place < 0 {
		heap.Push(&g.free, <-w.slot)
		g.serve()
		return
	}
	heap.Remove(&w.lane.waiters, w.place)
	g.count--
	g.settle(w.lane)
}

// release gives a slot back.
func (g *gate) release(slot int) {
	g.mu.Lock()
	defer g.mu.Unlock()

	heap.Push(&g.free, slot)
	g.serve()
}

// serve hands free slots to waiters.
func (g *gate) serve() {
	for g.free.Len() > 0 && g.ready.Len() > 0 {
		l := g.ready.items[0]
		w := heap.Pop(&l.waiters).(*waiter) //nolint:forcetypeassert // the heap holds nothing else
		g.turn++
		l.served = g.turn
		g.count--
		g.settle(l)
		w.slot <- heap.Pop(&g.free).(int) //nolint:forcetypeassert // the heap holds nothing else
	}
}

// settle puts a lane where it belongs after its waiters have changed.
func (g *gate) settle(l *lane) {
	switch {
	case l.waiters.Len() == 0 && l.place >= 0:
		heap.Remove(&g.ready, l.place)
	case l.waiters.Len() > 0 && l.place < 0:
		heap.Push(&g.ready, l)
	case l.waiters.Len() > 0:
		heap.Fix(&g.ready, l.place)
	}
}

func (g *gate) stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()

	return Stats{Slots: g.slots, Active: g.slots - g.free.Len(), Waiting: g.count}
}

// queue implements heap.Interface for items that want to know their place.
type queue[T any] struct {
	items  []T
	before func(a, b T) bool
	moved  func(item T, place int) // -1 when it left
}

// Len implements heap.Interface.
func (q *queue[T]) Len() int { return len(q.items) }

// Less implements heap.Interface.
func (q *queue[T]) Less(i, j int) bool { return q.before(q.items[i], q.items[j]) }

// Swap implements heap.Interface.
func (q *queue[T]) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.moved(q.items[i], i)
	q.moved(q.items[j], j)
}

// Push implements heap.Interface.
func (q *queue[T]) Push(x any) {
	item := x.(T) //nolint:forcetypeassert // heap.Push of this package passes nothing else
	q.items = append(q.items, item)
	q.moved(item, len(q.items)-1)
}

// Pop implements heap.Interface.
func (q *queue[T]) Pop() any {
	var none T
	last := len(q.items) - 1
	item := q.items[last]
	q.items[last] = none
	q.items = q.items[:last]
	q.moved(item, -1)
	return item
}
