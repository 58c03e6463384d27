package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/drakkar-go/drakkar/blobs"
)

// deliver delivers outputs and letters of messages, which are held until the
// last of theirs has arrived. It returns at once.
func (r *window) deliver(ctx workflow.Context, outputs []blobs.List[Output], letters blobs.List[Letter], offsets []int64) {
	in := DeliverInput{Window: r.ref()}
	n := 0
	for _, l := range outputs {
		if l.Len > 0 {
			in.Outputs = append(in.Outputs, l)
			n += l.Len
		}
	}
	if letters.Len > 0 {
		in.Letters = []blobs.List[Letter]{letters}
		in.Sources = r.sources(offsets)
	}
	if n+letters.Len == 0 {
		return
	}
	offsets = slices.Clone(offsets)
	r.hold(offsets)
	r.spawn(ctx, func(ctx workflow.Context) {
		r.deliverOnce(ctx, in, deliverSummary(n, letters.Len))
		r.release(ctx, offsets)
		r.details(ctx)
	})
}

func deliverSummary(payloads, letters int) string {
	if letters == 0 {
		return fmt.Sprintf("%d payloads", payloads)
	}
	return fmt.Sprintf("%d payloads, %d dead letters", payloads, letters)
}

// deliverOnce is one Deliver. What it leaves goes on in a Deliver of its own
// for each sink, which holds only the messages that wait for it.
func (r *window) deliverOnce(ctx workflow.Context, in DeliverInput, summary string) {
	var out DeliverResult
	err := workflow.ExecuteActivity(r.deliverOptions(ctx, summary), DeliverActivity, in).Get(ctx, &out)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.undeliverable(ctx, in, err)
		return
	}
	r.result.Delivered += out.Delivered
	r.result.Skipped += out.Skipped
	r.result.DeadLettered += out.DeadLettered
	for _, job := range out.Pending {
		r.hold(job.Offsets)
		r.spawn(ctx, func(ctx workflow.Context) {
			r.again(ctx, in, job)
			r.release(ctx, job.Offsets)
		})
	}
}

// again delivers what is left for one sink, after its pause.
func (r *window) again(ctx workflow.Context, in DeliverInput, job DeliverJob) {
	if job.After > 0 && workflow.Sleep(ctx, job.After) != nil {
		return
	}
	in.Window = r.ref()
	in.Job = &job
	in.Sources = nil
	to := job.To.String()
	if job.DLQ {
		in.Sources = r.sources(job.Offsets)
		to = "dead letter queue"
	}
	r.deliverOnce(ctx, in, fmt.Sprintf("%s, attempt %d", to, max(job.Attempts, job.DLQAttempts)+1))
}

// undeliverable is a Deliver whose payloads are gone from the blob store: the
// messages they came from are dead-lettered instead.
func (r *window) undeliverable(ctx workflow.Context, in DeliverInput, err error) {
	_, message := failure(err)
	offsets := r.inputOffsets(in)
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassLost, Stage: "deliver", Error: message, Attempts: 1,
	})
}

// inputOffsets are the messages that wait for a delivery; all of the window
// when that is not known.
func (r *window) inputOffsets(in DeliverInput) []int64 {
	if in.Job != nil {
		return in.Job.Offsets
	}
	var out []int64
	for _, m := range r.msgs {
		if m.holds > 0 {
			out = append(out, m.Offset)
		}
	}
	return out
}

// inlineSources is what the messages of dead letters may take of an input, next
// to the lists they belong to: Temporal refuses inputs of 2 MiB.
const inlineSources = 512 << 10

// sources are the messages themselves, for dead letters. Those that do not fit
// travel as coordinates, and are read from Kafka again.
func (r *window) sources(offsets []int64) []Message {
	out := make([]Message, 0, len(offsets))
	room := inlineSources
	for _, o := range offsets {
		m := r.byOff[o].Message
		n := m.EncodedLen()
		if n > room && m.Value != nil {
			m.Size, m.Value = max(1, len(m.Value)), nil
			n = m.EncodedLen()
		}
		room -= n
		out = append(out, m)
	}
	return out
}
