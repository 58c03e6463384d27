package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/workflows"
)

// Arrange decodes messages, calls the handler, and cuts its tasks into batches.
func (a *Activities) Arrange(ctx context.Context, in workflows.ArrangeInput) (workflows.Plan, error) {
	attempts := in.Attempts
	if err := resumed(ctx, &attempts); err != nil {
		return workflows.Plan{}, err
	}
	stop := a.beat(ctx, attempts)
	defer stop()
	var plan workflows.Plan
	msgs, letters, err := a.parse(ctx, in)
	if err != nil {
		return plan, err
	}
	var tasks []drakkar.Task
	if len(msgs) > 0 {
		var bad []workflows.Letter
		tasks, bad, err = a.arrangeOrRepeat(ctx, in, msgs, arranging{attempts: attempts, stop: stop})
		if err != nil {
			return plan, err
		}
		letters = append(letters, bad...)
	}
	return a.plan(ctx, in.Window, planned{tasks: tasks, letters: letters, keys: a.keys(msgs)})
}

// arranging is how often the hook was called for the messages before, and what
// ends the heartbeats.
type arranging struct {
	attempts int
	stop     func()
}

// arrangeOrRepeat calls the hook. Its error comes back from a local activity; a
// regular one is repeated until the attempts are used up, and then isolates the
// messages that cannot be arranged.
func (a *Activities) arrangeOrRepeat(
	ctx context.Context, in workflows.ArrangeInput, msgs []drakkar.Parsed, state arranging,
) ([]drakkar.Task, []workflows.Letter, error) {
	in.Retry.MaxAttempts = max(1, in.Retry.MaxAttempts)
	local := activity.GetInfo(ctx).IsLocalActivity
	if !local && state.attempts >= in.Retry.MaxAttempts {
		return a.isolate(ctx, in, msgs, state.attempts)
	}
	tasks, err := a.arrange(ctx, in, msgs)
	switch {
	case err == nil:
		return tasks, nil, nil
	case isPending(err):
		return nil, nil, err
	case local:
		return nil, nil, hookFailed(err)
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	}
	state.attempts++
	if state.attempts < in.Retry.MaxAttempts {
		state.stop()
		return nil, nil, repeat(ctx, err, grow(in.Retry.InitialInterval, in.Retry.MaxInterval, state.attempts), state.attempts)
	}
	if len(msgs) == 1 {
		return nil, []workflows.Letter{arrangeLetter(msgs[0], err, state.attempts)}, nil
	}
	return a.isolate(ctx, in, msgs, state.attempts)
}

func arrangeLetter(m drakkar.Parsed, err error, attempts int) workflows.Letter {
	l := letter(m.Record.Offset, workflows.ClassArrange, err)
	l.Stage, l.Attempts = "arrange", attempts
	return l
}

// isolate splits messages in halves until those that cannot be arranged stand
// alone, and makes letters of them. A half is tried once and a single message
// twice, since the whole was given all of its attempts before.
func (a *Activities) isolate(
	ctx context.Context, in workflows.ArrangeInput, msgs []drakkar.Parsed, attempts int,
) (tasks []drakkar.Task, letters []workflows.Letter, err error) {
	if len(msgs) == 1 {
		return a.arrangeAlone(ctx, in, msgs, attempts)
	}
	half := len(msgs) / 2
	for _, part := range [][]drakkar.Parsed{msgs[:half], msgs[half:]} {
		var some []drakkar.Task
		var bad []workflows.Letter
		if len(part) > 1 {
			some, err = a.arrange(ctx, in, part)
		}
		if isPending(err) {
			return nil, nil, err
		}
		if len(part) == 1 || err != nil {
			some, bad, err = a.isolate(ctx, in, part, attempts)
		}
		if err != nil {
			return nil, nil, err
		}
		tasks, letters = append(tasks, some...), append(letters, bad...)
	}
	return tasks, letters, nil
}

// arrangeAlone is isolate of a single message.
func (a *Activities) arrangeAlone(
	ctx context.Context, in workflows.ArrangeInput, msgs []drakkar.Parsed, attempts int,
) (tasks []drakkar.Task, letters []workflows.Letter, err error) {
	for range min(2, in.Retry.MaxAttempts) {
		tasks, err = a.arrange(ctx, in, msgs)
		switch {
		case err == nil, isPending(err):
			return tasks, nil, err
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		}
		attempts++
	}
	return nil, []workflows.Letter{arrangeLetter(msgs[0], err, attempts)}, nil
}

// planned is what Arrange made of messages, and the keys of the messages when
// they matter.
type planned struct {
	tasks   []drakkar.Task
	letters []workflows.Letter
	keys    map[int64]string
}

// plan packs what Arrange made.
func (a *Activities) plan(ctx context.Context, w workflows.WindowRef, p planned) (plan workflows.Plan, err error) {
	plan.Tasks = len(p.tasks)
	plan.LetterOffsets = letterOffsets(p.letters)
	if plan.Letters, err = blobs.Pack(ctx, a.Blobs, prefix(w), w.InlineLimit, p.letters); err != nil {
		return plan, err
	}
	if plan.Batches, err = a.batches(ctx, w, lanes(specs(p.tasks), p.keys)); len(plan.Batches) > 0 {
		plan.Batches[0].Here = a.idle(ctx)
	}
	return plan, err
}

// idle reports whether slots are free and nothing waits for them, or is about to:
// then the tasks of a window whose step this worker takes can begin here at once.
func (a *Activities) idle(ctx context.Context) bool {
	return activity.GetInfo(ctx).IsLocalActivity && a.Pool.Room() && a.Admission.Expect()
}

// letterOffsets are the messages that wait for the letters.
func letterOffsets(letters []workflows.Letter) []workflows.Range {
	var out []int64
	for _, l := range letters {
		if l.Kind == workflows.LetterTask {
			out = append(out, waiting(l)...)
			continue
		}
		out = append(out, offsetsOf(l)...)
	}
	return workflows.Ranges(out)
}

// offsetsOf are the messages of a letter.
func offsetsOf(l workflows.Letter) []int64 {
	if len(l.Each) == 0 {
		return []int64{l.Offset}
	}
	var out []int64
	for _, r := range l.Each {
		for o := r.First; o <= r.Last; o++ {
			out = append(out, o)
		}
	}
	return out
}

// waiting are the messages that wait for a letter which names one: a task serves
// all of its messages, and is their only trace.
func waiting(l workflows.Letter) []int64 {
	if l.Kind == workflows.LetterTask {
		return l.Task.SourceOffsets
	}
	return []int64{l.Offset}
}

// parse decodes the messages. Those that cannot be decoded become letters, or
// are passed on, or halt the window, as on_parse_error says.
func (a *Activities) parse(ctx context.Context, in workflows.ArrangeInput) (msgs []drakkar.Parsed, letters []workflows.Letter, err error) {
	var records []drakkar.Record
	for _, m := range in.Messages {
		rec, err := a.record(ctx, in.Window, m)
		if errors.Is(err, ErrRecordGone) {
			letters = append(letters, letter(m.Offset, workflows.ClassUnreadable, err))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		records = append(records, rec)
	}
	parsed, err := a.decode(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parsed {
		rec := p.Record
		if p.Err == nil {
			msgs = append(msgs, p)
			continue
		}
		p.Err = frozen(p.Err)
		a.logPanic("deserialize", p.Err)
		a.Events.Record(events.ParseFailed{At: at(in.Window, rec.Offset), Policy: a.cfg.OnParseError, Err: p.Err})
		switch a.cfg.OnParseError {
		case "pass":
			msgs = append(msgs, p)
		case "halt":
			// Repeated by Temporal, which adds nothing to the window's history.
			return nil, nil, temporal.NewApplicationErrorWithOptions(
				fmt.Sprintf("%s cannot be decoded and on_parse_error is halt: %s", rec, errorText(p.Err)),
				workflows.ErrTypeHalt, temporal.ApplicationErrorOptions{NextRetryDelay: haltPause})
		default:
			letters = append(letters, letter(rec.Offset, workflows.ClassParse, p.Err))
		}
	}
	return msgs, letters, nil
}

// decode decodes records, all of them within hooks.timeout: a Deserialize may ask
// a registry. When it does not return, that says nothing about the messages.
func (a *Activities) decode(ctx context.Context, records []drakkar.Record) ([]drakkar.Parsed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.cfg.HookTimeout, errHookTimeout)
	defer cancel()
	decoded := make(chan []drakkar.Parsed, 1)
	err := within(ctx, "deserialize", func() error {
		var out []drakkar.Parsed
		for _, rec := range records {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			out = append(out, a.Pipeline.Parse(ctx, rec))
		}
		decoded <- out
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decoding %d messages: %w", len(records), err)
	}
	return <-decoded, nil
}

// haltPause is how often it is looked whether a message that halts its window
// can be decoded, by a newer handler.
const haltPause = 30 * time.Second

func letter(offset int64, class string, err error) workflows.Letter {
	now := time.Now().UTC()
	return workflows.Letter{
		Kind: workflows.LetterMessage, Offset: offset, Class: class, Stage: "deserialize",
		Error: errorText(err), Attempts: 1, First: now, Last: now,
	}
}

// arrange calls the hook.
func (a *Activities) arrange(ctx context.Context, in workflows.ArrangeInput, msgs []drakkar.Parsed) ([]drakkar.Task, error) {
	first := msgs[0].Record.Offset
	began := time.Now()
	var tasks []drakkar.Task
	var away atomic.Pointer[pendingError]
	err := a.hook(ctx, scope("arrange", in.Window, first), func(ctx context.Context) (err error) {
		tasks, err = a.Pipeline.Arrange(ctx, drakkar.ArrangeInput{
			Topic: in.Window.Topic, Partition: in.Window.Partition, Messages: msgs,
			Pending: func(ctx context.Context) ([]drakkar.Task, error) {
				tasks, err := a.pending(ctx, in.Open)
				if err != nil {
					away.Store(&pendingError{err})
				}
				return tasks, err
			},
		})
		return err
	})
	took := time.Since(began)
	a.arrangeTime.observe(took)
	if why := away.Load(); err != nil && why != nil {
		return nil, why
	}
	if err != nil {
		return nil, err
	}
	e := events.Arranged{
		At: at(in.Window, first), Workflow: in.Window.WorkflowID(),
		Messages: len(msgs), Tasks: len(tasks), Took: took,
	}
	for _, m := range msgs {
		e.Offsets = append(e.Offsets, m.Record.Offset)
		e.Labels = append(e.Labels, a.Pipeline.Label(m))
	}
	for _, t := range tasks {
		e.TaskIDs = append(e.TaskIDs, t.ID)
	}
	a.Events.Record(e)
	return tasks, nil
}

// pendingError says that another window could not tell its tasks, and that the
// hook failed behind it. The messages are not to blame: they are arranged again
// for as long as that takes.
type pendingError struct{ err error }

func isPending(err error) bool {
	_, is := errors.AsType[*pendingError](err)
	return is
}

func (e *pendingError) Error() string { return e.err.Error() }
func (e *pendingError) Unwrap() error { return e.err }

// pending asks the open windows of the partition for their tasks. What a window
// has no room to tell, or what the store has lost of it, is logged with its
// number.
func (a *Activities) pending(ctx context.Context, open []string) ([]drakkar.Task, error) {
	var out []drakkar.Task
	for _, id := range open {
		lists, err := a.Pending(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("asking window %s for its pending tasks: %w", id, err)
		}
		told, leftOut := 0, 0
		for _, l := range lists {
			specs, err := blobs.Unpack(ctx, a.Blobs, l)
			switch {
			case blobs.Lost(err), l.Len > 0 && l.Ref == "" && len(l.Items) == 0:
				leftOut += l.Len
				continue
			case err != nil:
				return nil, fmt.Errorf("reading the pending tasks of window %s: %w", id, err)
			}
			told += len(specs)
			for _, s := range specs {
				out = append(out, s.Task)
			}
		}
		if leftOut > 0 {
			a.Log.Warn("a window has more pending tasks than it can tell: some are left out",
				zap.String("window", id), zap.Int("told", told), zap.Int("left_out", leftOut))
		}
	}
	return out, nil
}

// specs numbers tasks by their lowest message.
func specs(tasks []drakkar.Task) []workflows.TaskSpec {
	out := make([]workflows.TaskSpec, len(tasks))
	next := map[int64]int{}
	for i, t := range tasks {
		o := t.SourceOffsets[0]
		out[i] = workflows.TaskSpec{Task: t, Index: strconv.Itoa(next[o]), Attempt: 1}
		next[o]++
	}
	return out
}

// batches cuts tasks and packs them; what does not fit into the result goes to
// the blob store.
func (a *Activities) batches(ctx context.Context, w workflows.WindowRef, specs []workflows.TaskSpec) ([]workflows.Batch, error) {
	room := w.InlineLimit
	var out []workflows.Batch
	for _, part := range cutWithin(specs, a.pace(), maxBatches) {
		b, err := a.batch(ctx, w, part, room)
		if err != nil {
			return nil, err
		}
		room -= b.Tasks.Inline()
		out = append(out, b)
	}
	return out, nil
}

// batch packs tasks that run together.
func (a *Activities) batch(ctx context.Context, w workflows.WindowRef, specs []workflows.TaskSpec, room int) (workflows.Batch, error) {
	list, err := blobs.Pack(ctx, a.Blobs, prefix(w), max(0, room), specs)
	if err != nil {
		return workflows.Batch{}, err
	}
	return workflows.Batch{
		Tasks: list, Counts: counts(specs), Priority: a.priority(specs), Summary: a.summary(specs),
	}, nil
}

// priority is Temporal's priority of a batch: that of its most urgent task. A
// task's own priority has no bounds, Temporal's is 1 to 5 with 3 in the middle.
func (a *Activities) priority(specs []workflows.TaskSpec) int {
	lowest := 0.0
	for i, s := range specs {
		p, err := a.Pipeline.Priority(s.Task)
		if err != nil {
			a.Events.Record(events.HookRan{Hook: "task_priority", TaskID: s.ID, Err: frozen(err)})
		}
		if i == 0 || p < lowest {
			lowest = p
		}
	}
	switch {
	case lowest < 0:
		return 2
	case lowest > 0:
		return 4
	}
	return 3
}

// summary is "rg ×25": the program of the first task and the number of tasks.
func (a *Activities) summary(specs []workflows.TaskSpec) string {
	name := "precomputed"
	switch s := specs[0]; {
	case s.Precomputed != nil:
	case a.Pipeline.Hooks().Execute:
		name = "execute"
	default:
		name = filepath.Base(cmp.Or(s.Binary, a.cfg.Binary))
	}
	text := fmt.Sprintf("%s ×%d", name, len(specs))
	if n := specs[0].Attempt; n > 1 {
		text += ", attempt " + strconv.Itoa(n)
	}
	return text
}
