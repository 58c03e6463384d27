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
	r.inlined += letters.Inline()
	for _, l := range in.Outputs {
		r.inlined += l.Inline()
	}
	offsets = slices.Clone(offsets)
	r.hold(offsets)
	r.spawn(ctx, func(ctx workflow.Context) {
		r.deliverOnce(ctx, in, offsets, deliverSummary(n, letters.Len, len(offsets)))
		r.release(ctx, offsets)
		r.details(ctx)
	})
}

func deliverSummary(payloads, letters, messages int) string {
	switch {
	case letters == 0:
		return fmt.Sprintf("%d payloads", payloads)
	case payloads == 0:
		return fmt.Sprintf("dead letters of %d messages", messages)
	}
	return fmt.Sprintf("%d payloads, %d dead letters", payloads, letters)
}

// deliverOnce is one Deliver. What it leaves goes on in a Deliver of its own
// for each sink, which holds only the messages that wait for it.
func (r *window) deliverOnce(ctx workflow.Context, in DeliverInput, offsets []int64, summary string) {
	var out DeliverResult
	in.Patient = r.patient(ctx)
	err := workflow.ExecuteActivity(r.deliverOptions(ctx, summary), DeliverActivity, in).Get(ctx, &out)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.undeliverable(ctx, offsets, err)
		return
	}
	r.result.Delivered += out.Delivered
	r.result.Skipped += out.Skipped
	r.result.DeadLettered += out.DeadLettered
	for _, job := range out.Pending {
		waiting := r.within(job.Offsets)
		r.hold(waiting)
		r.spawn(ctx, func(ctx workflow.Context) {
			r.again(ctx, in, job, waiting)
			r.release(ctx, waiting)
		})
	}
}

// again delivers what is left for one sink, after its pause.
func (r *window) again(ctx workflow.Context, in DeliverInput, job DeliverJob, waiting []int64) {
	if job.After > 0 && !r.patient(ctx) && workflow.Sleep(ctx, job.After) != nil {
		return
	}
	in.Window = r.ref()
	in.Job = &job
	in.Sources = nil
	to := job.To.String()
	if job.DLQ {
		in.Sources = r.sources(waiting)
		to = "dead letter queue"
	}
	if job.Letters {
		in.Outputs = nil
	} else {
		in.Letters = nil
	}
	for _, l := range in.Outputs {
		r.inlined += l.Inline()
	}
	r.deliverOnce(ctx, in, waiting, fmt.Sprintf("%s, attempt %d", to, max(job.Attempts, job.DLQAttempts)+1))
}

// undeliverable is a Deliver whose payloads are gone from the blob store: the
// messages that wait for them are dead-lettered instead.
func (r *window) undeliverable(ctx workflow.Context, offsets []int64, err error) {
	_, message := failure(err)
	r.letter(ctx, offsets, Letter{
		Kind: LetterMessage, Class: ClassLost, Stage: "deliver", Error: message, Attempts: 1,
	})
}

// maxSources is what the messages of dead letters may take of an input, next to
// the lists they belong to: Temporal refuses inputs of 2 MiB.
const maxSources = 512 << 10

// sources are the messages themselves, for dead letters.
func (r *window) sources(offsets []int64) []Message {
	return r.travelling(r.messages(offsets), maxSources)
}

// travelling are messages as they go into the input of a regular activity.
// Those for which neither the input nor the window's history has room travel as
// coordinates, and are read from Kafka again.
func (r *window) travelling(msgs []Message, room int) []Message {
	room = min(room, inlineBudget-r.inlined)
	for i := range msgs {
		m := &msgs[i]
		if m.EncodedLen() > room && m.Value != nil {
			m.Size, m.Value = max(1, len(m.Value)), nil
		}
		bare := Message{Offset: m.Offset, Timestamp: m.Timestamp, Size: max(1, m.Size)}
		if n := m.EncodedLen(); n > room && n > 2*bare.EncodedLen() {
			*m = bare
		}
		room -= m.EncodedLen()
		r.inlined += m.EncodedLen()
	}
	return msgs
}
