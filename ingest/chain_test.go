package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// The world of the chain tests: one partition, two processes, a group that
// hands the partition to either of them, and Temporal. Owners run the code of
// the package; every request of theirs, and every answer, stops until the test
// lets it go on, so any interleaving can happen: requests that arrive after the
// partition went to the other, and owners that die while an answer is under
// way.
type world struct {
	log       []int64 // offsets that exist
	end       int64
	committed committed
	holder    int // who owns the partition by the group's word, -1 nobody
	rejects   bool
	windows   *fakeWindows
	finished  map[string]map[int64]bool // by window
	runs      map[int64]int             // how often a message was worked on
	resets    int
	again     map[int64]int // how often a message has to run because of resets
}

const chainTopic = "in"

var errKilled = errors.New("the process is gone")

// owner is one ownership of the partition by one process.
type owner struct {
	w      *world
	id     int
	resume chan uint64 // what the owner decides next, drawn by the test
	paused chan struct{}
	killed chan struct{}
	ended  chan struct{}
	choice uint64
}

func (w *world) newOwner(id int) *owner {
	o := &owner{
		w: w, id: id, resume: make(chan uint64), paused: make(chan struct{}),
		killed: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(o.ended)
		o.live()
	}()
	<-o.paused
	return o
}

// stop lets the test go on with something else.
func (o *owner) stop() error {
	select {
	case o.paused <- struct{}{}:
	case <-o.killed:
		return errKilled
	}
	select {
	case o.choice = <-o.resume:
		return nil
	case <-o.killed:
		return errKilled
	}
}

// step lets the owner go on to its next stop; false when it has ended.
func (o *owner) step(choice uint64) bool {
	select {
	case o.resume <- choice:
	case <-o.ended:
		return false
	}
	select {
	case <-o.paused:
		return true
	case <-o.ended:
		return false
	}
}

func (o *owner) kill() {
	close(o.killed)
	<-o.ended
}

// request runs f between two stops: the request's way, and the answer's.
func (o *owner) request(f func()) error {
	if err := o.stop(); err != nil {
		return err
	}
	f()
	return o.stop()
}

func (o *owner) Committed(context.Context, int32) (c committed, err error) {
	err = o.request(func() { c = o.w.committed })
	return c, err
}

func (o *owner) Commit(ps []position) []error {
	var answer error
	err := o.request(func() {
		if o.w.holder != o.id && o.w.rejects {
			answer = errors.New("unknown member")
			return
		}
		o.w.committed = committed{offset: ps[0].offset, metadata: ps[0].metadata}
	})
	return []error{errors.Join(err, answer)}
}

func (o *owner) Ends(context.Context, int32) (low, high int64, err error) {
	err = o.request(func() { low, high = 0, o.w.end })
	return low, high, err
}

func (o *owner) TopicID(context.Context) (string, error) { return "topicid-1", nil }

// ownerWindows is Temporal behind the owner's stops.
type ownerWindows struct {
	*fakeWindows
	o *owner
}

func (w ownerWindows) Start(ctx context.Context, in workflows.WindowInput) (err error) {
	return errors.Join(w.o.request(func() { err = w.fakeWindows.Start(ctx, in) }), err)
}

func (w ownerWindows) Describe(ctx context.Context, id string) (d Description, err error) {
	killed := w.o.request(func() { d, err = w.fakeWindows.Describe(ctx, id) })
	return d, errors.Join(killed, err)
}

// live is the life of an owner: it prepares, and then cuts, starts, follows and
// commits in the order the test draws.
func (o *owner) live() {
	ctx, ws := context.Background(), ownerWindows{o.w.windows, o}
	a := &assignment{
		pipeline: "p", topic: chainTopic, broker: o, windows: ws,
		commit: func(_ context.Context, p position) error { return o.Commit([]position{p})[0] },
		record: func(events.Event) {},
		now:    func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
	var pl plan
	for {
		var err error
		if pl, err = a.prepare(ctx); err == nil {
			break
		}
		if errors.Is(err, errKilled) || o.stop() != nil {
			return
		}
	}
	r := &reader{o: o, ws: ws, p: newPartition(ctx, chainTopic, 0, hysteresis{})}
	defer r.p.cancel(errKilled)
	r.p.run(pl)
	for _, offset := range o.w.log {
		r.p.push(workflows.Message{Offset: offset, Value: []byte("v")})
	}
	for r.once(ctx) == nil {
	}
}

// reader is an owner that reads.
type reader struct {
	o  *owner
	ws ownerWindows
	p  *partition
}

func (r *reader) once(ctx context.Context) error {
	if err := r.o.stop(); err != nil {
		return err
	}
	switch r.o.choice % 4 {
	case 0, 1:
		return r.start(ctx, 1+int(r.o.choice/4%3))
	case 2:
		return r.learn(ctx)
	default:
		return r.commit()
	}
}

func (r *reader) start(_ context.Context, size int) error {
	i := &Ingest{opt: Options{Temporal: r.ws}, events: events.Discard, cutter: cutter{maxMessages: size, maxBytes: 1 << 20}}
	if len(r.p.queue.messages) == 0 {
		return nil
	}
	in, bytes, _ := i.nextInput(r.p, i.cutter, false)
	if _, err := i.startOnce(r.p, in, bytes); errors.Is(err, errKilled) {
		return err
	}
	return nil
}

func (r *reader) learn(ctx context.Context) error {
	for _, w := range slices.Clone(r.p.chain) {
		if w.finished {
			continue
		}
		d, err := r.ws.Describe(ctx, w.id)
		if err != nil {
			return err
		}
		if d.Completed {
			r.p.finish(w)
		}
		r.p.progress(w, d)
	}
	return nil
}

func (r *reader) commit() error {
	pos, ok := r.p.due(never)
	if !ok {
		return nil
	}
	err := r.o.Commit([]position{pos})[0]
	if err == nil {
		r.p.accepted(pos.offset)
	}
	if errors.Is(err, errKilled) {
		return err
	}
	return nil
}

// work lets a window finish its next message.
func (w *world) work(id string) {
	fw := w.windows.byID[id]
	done := w.finished[id]
	if done == nil {
		done = map[int64]bool{}
		w.finished[id] = done
	}
	for i, m := range fw.in.Messages {
		if done[m.Offset] {
			continue
		}
		done[m.Offset] = true
		w.runs[m.Offset]++
		if i == len(fw.in.Messages)-1 {
			fw.status = "completed"
		} else {
			fw.finished = []workflows.Range{{First: fw.in.Start, Last: m.Offset}}
		}
		return
	}
}

// check says what is wrong with the world, if anything.
func (w *world) check() error {
	if err := chainError(w.windows.all()); err != nil {
		return fmt.Errorf("fork: %w", err)
	}
	for _, offset := range w.log {
		if offset < w.committed.offset && w.runs[offset] == 0 {
			return fmt.Errorf("lost: offset %d is committed and never ran", offset)
		}
		if w.runs[offset] > 1+w.resets {
			return fmt.Errorf("twice: offset %d ran %d times with %d resets", offset, w.runs[offset], w.resets)
		}
	}
	return nil
}

func (w *world) running() (ids []string) {
	for _, fw := range w.windows.all() {
		if fw.status == "running" {
			ids = append(ids, fw.in.WorkflowID())
		}
	}
	return ids
}

func drawWorld(t *rapid.T) *world {
	w := &world{
		committed: committed{offset: noOffset}, holder: -1, windows: newFakeWindows(),
		finished: map[string]map[int64]bool{}, runs: map[int64]int{}, again: map[int64]int{}, rejects: rapid.Bool().Draw(t, "rejects"),
	}
	for range rapid.IntRange(1, 8).Draw(t, "messages") {
		w.log = append(w.log, w.end)
		w.end += rapid.Int64Range(1, 3).Draw(t, "gap")
	}
	switch rapid.IntRange(0, 2).Draw(t, "before") {
	case 1: // an operator's offset, in the middle
		w.committed = committed{offset: rapid.Int64Range(0, w.end).Draw(t, "offset")}
	case 2:
		w.committed = committed{offset: 0, metadata: `{"some":"tool"}`}
	}
	for _, offset := range w.log {
		if offset < w.committed.offset {
			w.runs[offset] = 1
		}
	}
	return w
}

// Whatever two processes that own a partition in turn do, at whatever speed:
// one chain for each epoch, no message lost, none worked on twice unless an
// operator asks for it, and in the end everything is committed.
func TestChain_TwoOwners(t *testing.T) {
	t.Parallel()

	for n := range 10 { // the checks of one run are too few to meet every race
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()

			rapid.Check(t, twoOwners)
		})
	}
}

func twoOwners(t *rapid.T) {
	w := drawWorld(t)
	var owners [2]*owner
	kill := func(id int) {
		if owners[id] != nil {
			owners[id].kill()
			owners[id] = nil
		}
	}
	defer func() { kill(0); kill(1) }()

	actions := map[string]func(){
		"assign": func() {
			id := rapid.IntRange(0, 1).Draw(t, "to")
			if w.holder == id {
				return
			}
			kill(id) // it has noticed that it lost the partition
			w.holder, owners[id] = id, w.newOwner(id)
		},
		"crash": func() {
			id := rapid.IntRange(0, 1).Draw(t, "who")
			kill(id)
			if w.holder == id {
				w.holder = -1
			}
		},
		"operator": func() {
			if owners[0] != nil || owners[1] != nil || w.committed.offset <= 0 || w.resets > 1 {
				return // Kafka refuses it while the group has members
			}
			w.resets++
			w.holder = -1
			for _, offset := range w.log {
				w.again[offset] = w.runs[offset] + 1
			}
			w.committed = committed{offset: 0, metadata: w.committed.metadata}
		},
		"step": func() {
			o := owners[rapid.IntRange(0, 1).Draw(t, "who")]
			for range rapid.IntRange(1, 25).Draw(t, "times") {
				if o != nil {
					o.step(rapid.Uint64().Draw(t, "choice"))
				}
			}
		},
		"work": func() {
			if ids := w.running(); len(ids) > 0 {
				w.work(rapid.SampledFrom(ids).Draw(t, "window"))
			}
		},
	}
	names := []string{
		"step", "step", "step", "step", "step", "step", "work", "work", "work", "assign", "assign", "crash", "operator",
	}
	for range rapid.IntRange(10, 80).Draw(t, "actions") {
		actions[rapid.SampledFrom(names).Draw(t, "action")]()
		require.NoError(t, w.check())
	}

	// In the end one owner stays, and gets its time.
	kill(0)
	kill(1)
	w.holder = 0
	owners[0] = w.newOwner(0)
	for n := uint64(0); w.committed.offset < w.log[len(w.log)-1]+1 && n < 5000; n++ {
		owners[0].step(n)
		for _, id := range w.running() {
			w.work(id)
		}
		require.NoError(t, w.check())
	}
	for _, offset := range w.log {
		require.GreaterOrEqual(t, w.runs[offset], max(1, w.again[offset]), "offset %d", offset)
	}
	require.GreaterOrEqual(t, w.committed.offset, w.log[len(w.log)-1]+1)
}
