package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/drakkar-go/drakkar"
	"github.com/drakkar-go/drakkar/blobs"
	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/sinks"
	"github.com/drakkar-go/drakkar/workflows"
)

// The pauses between attempts at the dead letter queue. There is no last
// attempt.
const (
	dlqInitialInterval = time.Second
	dlqMaxInterval     = time.Minute
)

// bury writes payloads or letters to the dead letter queue. What it does not
// accept comes back as a job, for as long as it takes.
func (a *Activities) bury(ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob) (out workflows.DeliverResult, err error) {
	at, envelopes, err := a.envelopes(ctx, in, job)
	if err != nil {
		return out, err
	}
	err = a.DLQ.Write(ctx, envelopes)
	failures := sinks.Failures(len(envelopes), err)
	if len(failures) > 0 && ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	refused := make(map[int]bool, len(failures))
	for _, f := range failures {
		refused[f.Index] = true
	}
	var left []int
	for i, e := range envelopes {
		if refused[i] {
			left = append(left, at[i])
			continue
		}
		out.DeadLettered++
		a.Events.Record(events.DeadLettered{
			At: envelopeAt(e), ID: e.ID, Class: e.Class, Err: e.Error, Sink: sinkOf(e),
		})
	}
	if len(left) == 0 {
		return out, nil
	}
	job.DLQAttempts += int(activity.GetInfo(ctx).Attempt)
	job.Items = ranges(left)
	job.After = grow(dlqInitialInterval, dlqMaxInterval, job.DLQAttempts)
	if job.Letters {
		job.Offsets = offsets(envelopes, refused)
	}
	out.Pending = append(out.Pending, job)
	a.Events.Record(events.DLQFailed{Entries: len(left), Attempt: job.DLQAttempts, Err: failures[0].Err})
	return out, unchanged(in, out, failures[0].Err)
}

func envelopeAt(e dlq.Envelope) events.At {
	return events.At{Topic: e.Source.Topic, Partition: e.Source.Partition, Offset: e.Source.Offset}
}

func sinkOf(e dlq.Envelope) events.Sink {
	if e.Payload == nil {
		return events.Sink{}
	}
	return events.Sink{Type: string(e.Payload.To.Type), Name: e.Payload.To.Name}
}

// offsets are the messages of the refused envelopes.
func offsets(envelopes []dlq.Envelope, refused map[int]bool) []int64 {
	var out []int64
	for i, e := range envelopes {
		if refused[i] {
			out = append(out, e.Source.Offset)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// envelopes are the entries of a job, and their positions.
func (a *Activities) envelopes(ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob) (at []int, out []dlq.Envelope, err error) {
	src := &sources{a: a, w: in.Window, byOffset: map[int64]workflows.Message{}}
	for _, m := range in.Sources {
		src.byOffset[m.Offset] = m
	}
	if job.Letters {
		letters, err := unpackAll(ctx, a.Blobs, in.Letters)
		if err != nil {
			return nil, nil, err
		}
		at = positions(job.Items, len(letters))
		for _, i := range at {
			out = append(out, src.letter(ctx, letters[i]))
		}
		return at, out, nil
	}
	payloads, err := unpackAll(ctx, a.Blobs, in.Outputs)
	if err != nil {
		return nil, nil, err
	}
	at = positions(job.Items, len(payloads))
	for _, i := range at {
		out = append(out, src.payload(ctx, payloads[i], job))
	}
	return at, out, nil
}

// sources finds the messages of dead letters.
type sources struct {
	a        *Activities
	w        workflows.WindowRef
	byOffset map[int64]workflows.Message
}

// source is the message behind an entry, with its value wherever it can be
// had. Nothing here fails: an entry without the source is better than none.
func (s *sources) source(ctx context.Context, offset int64) dlq.Source {
	out := dlq.Source{Topic: s.w.Topic, TopicID: s.w.TopicID, Partition: s.w.Partition, Offset: offset}
	var rec drakkar.Record
	m, ok := s.byOffset[offset]
	err := errors.New("the message is not part of the window")
	if ok {
		rec, err = s.a.record(ctx, s.w, m)
	}
	out.Key, out.Value, out.Headers, out.Timestamp = rec.Key, rec.Value, rec.Headers, rec.Timestamp
	if err != nil {
		out.ValueMissing = err.Error()
	}
	return out
}

func (s *sources) letter(ctx context.Context, l workflows.Letter) dlq.Envelope {
	e := dlq.Envelope{
		ID: letterID(s.w, l), Kind: dlq.Kind(l.Kind), Pipeline: s.w.Pipeline, Workflow: s.w.WorkflowID(),
		Class: l.Class, Error: l.Error, Attempts: l.Attempts,
		FirstFailed: l.First, LastFailed: l.Last, Written: time.Now().UTC(), Source: s.source(ctx, l.Offset),
	}
	if l.Task != nil {
		e.Task = dlq.NewTask(l.Task.Task, l.Failure)
	}
	return e
}

// letterID is stable as the ids of payloads are.
func letterID(w workflows.WindowRef, l workflows.Letter) string {
	o := sinks.Origin{Topic: w.Topic, TopicID: w.TopicID, Partition: w.Partition, Offset: l.Offset, Stage: "dlq"}
	if l.Task != nil {
		o.Index = l.Task.Index
	}
	return o.DeliveryID(0)
}

func (s *sources) payload(ctx context.Context, o workflows.Output, job workflows.DeliverJob) dlq.Envelope {
	p := o.Payload
	return dlq.Envelope{
		ID: p.ID, Kind: dlq.KindPayload, Pipeline: s.w.Pipeline, Workflow: s.w.WorkflowID(),
		Class: job.Class, Error: job.Error, Attempts: job.Attempts,
		FirstFailed: job.First, LastFailed: time.Now().UTC(), Written: time.Now().UTC(),
		Payload: &p, Source: s.source(ctx, p.Source.Offset),
	}
}

func listLen[T any](lists []blobs.List[T]) int {
	n := 0
	for _, l := range lists {
		n += l.Len
	}
	return n
}
