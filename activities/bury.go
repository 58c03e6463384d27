package activities

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

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

// sourceTimeout bounds the reading of one source message for a dead letter.
const sourceTimeout = 30 * time.Second

// bury writes payloads or letters to the dead letter queue. What it does not
// accept comes back as a job, for as long as it takes, and so does what cannot
// be written yet because its source message cannot be read.
func (a *Activities) bury(ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob) (out workflows.DeliverResult, why, err error) {
	at, envelopes, err := a.envelopes(ctx, in, job)
	if err != nil {
		return out, nil, err
	}
	refused := a.write(ctx, envelopes)
	cut := len(refused) > 0 && ctx.Err() != nil // which is not the queue's fault
	if cut && len(refused) == len(envelopes) {
		return out, nil, context.Cause(ctx)
	}
	var left []int
	for i, e := range envelopes {
		if err := refused[i]; err != nil {
			left, why = append(left, at[i]), cmp.Or(why, err)
			continue
		}
		out.DeadLettered++
		a.Events.Record(events.DeadLettered{
			At: envelopeAt(e.Envelope), ID: e.ID, Class: e.Class, Err: e.Error, Sink: sinkOf(e.Envelope),
		})
	}
	if len(left) == 0 {
		return out, nil, nil
	}
	if !cut {
		job.DLQAttempts++
		job.After = grow(dlqInitialInterval, dlqMaxInterval, job.DLQAttempts)
		a.Events.Record(events.DLQFailed{Entries: len(left), Attempt: job.DLQAttempts, Err: why})
	}
	if job.Letters {
		job.Offsets = coarseRanges(offsets(envelopes, refused))
	}
	job.Items = a.packRanges(ctx, in.Window, ranges(left))
	out.Pending = append(out.Pending, job)
	return out, why, nil
}

// write writes the dead letters that are complete. It returns why others, by
// their position, are not in the queue.
func (a *Activities) write(ctx context.Context, envelopes []envelope) (refused map[int]error) {
	refused = map[int]error{}
	var complete []dlq.Envelope
	var at []int
	for i, e := range envelopes {
		if e.unread != nil {
			refused[i] = e.unread
			continue
		}
		complete, at = append(complete, e.Envelope), append(at, i)
	}
	if len(complete) == 0 {
		return refused
	}
	for _, f := range sinks.Failures(len(complete), a.DLQ.Write(ctx, complete)) {
		refused[at[f.Index]] = f.Err
	}
	return refused
}

// envelope is a dead letter. It cannot be written while unread says that its
// source message could not be read, and may be later.
type envelope struct {
	dlq.Envelope
	unread  error
	waiting []int64 // messages that wait for it
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

// offsets are the messages that wait for the refused envelopes.
func offsets(envelopes []envelope, refused map[int]error) []int64 {
	var out []int64
	for i := range refused {
		out = append(out, envelopes[i].waiting...)
	}
	return out
}

// lettersAt are the messages that wait for letters which name one each.
func lettersAt(letters []workflows.Letter) []workflows.Range {
	var out []int64
	for _, l := range letters {
		out = append(out, waiting(l)...)
	}
	return coarseRanges(out)
}

// envelopes are the entries of a job, and their positions.
func (a *Activities) envelopes(ctx context.Context, in workflows.DeliverInput, job workflows.DeliverJob) (at []int, out []envelope, err error) {
	src := &sources{a: a, w: in.Window, byOffset: map[int64]workflows.Message{}}
	for _, m := range in.Sources {
		src.byOffset[m.Offset] = m
	}
	items, err := blobs.Unpack(ctx, a.Blobs, job.Items)
	if err != nil {
		return nil, nil, lost(err)
	}
	if job.Letters {
		letters, err := a.letters(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		at = positions(items, len(letters))
		for _, i := range at {
			e := src.attach(ctx, src.letter(letters[i]), letters[i].Offset)
			e.waiting = waiting(letters[i])
			out = append(out, e)
		}
		return at, out, nil
	}
	payloads, err := unpackAll(ctx, a.Blobs, in.Outputs)
	if err != nil {
		return nil, nil, err
	}
	at = positions(items, len(payloads))
	for _, i := range at {
		e := src.payload(payloads[i], job)
		out = append(out, src.attach(ctx, e, payloads[i].Payload.Source.Offset))
	}
	return at, out, nil
}

// letters are those of the input, one for each message.
func (a *Activities) letters(ctx context.Context, in workflows.DeliverInput) ([]workflows.Letter, error) {
	packed, err := unpackAll(ctx, a.Blobs, in.Letters)
	if err != nil {
		return nil, err
	}
	var out []workflows.Letter
	for _, l := range packed {
		for _, o := range offsetsOf(l) {
			l.Offset = o
			out = append(out, l)
		}
	}
	return out, nil
}

// sources finds the messages of dead letters.
type sources struct {
	a        *Activities
	w        workflows.WindowRef
	byOffset map[int64]workflows.Message
	away     error // Kafka did not answer; the others are not asked for
}

// attach completes an envelope with the message behind it. Only a message that
// is gone is left out for good: then a dead letter without it is all there is.
func (s *sources) attach(ctx context.Context, e dlq.Envelope, offset int64) envelope {
	e.Source = dlq.Source{Topic: s.w.Topic, TopicID: s.w.TopicID, Partition: s.w.Partition, Offset: offset}
	m, ok := s.byOffset[offset]
	if !ok && (offset < s.w.Start || offset > s.w.Last) {
		e.Source.ValueMissing = "the message is not part of the window"
		return envelope{Envelope: e}
	}
	if !ok { // it did not travel at all
		m = workflows.Message{Offset: offset, Size: 1}
	}
	rec, err := s.record(ctx, m)
	switch {
	case errors.Is(err, ErrRecordGone):
		e.Source.ValueMissing = err.Error()
	case err != nil:
		return envelope{Envelope: e, unread: err}
	}
	e.Source.Key, e.Source.Value, e.Source.Headers, e.Source.Timestamp = rec.Key, rec.Value, rec.Headers, rec.Timestamp
	return envelope{Envelope: e}
}

// record is the message, read again if its value did not travel.
func (s *sources) record(ctx context.Context, m workflows.Message) (drakkar.Record, error) {
	if m.Size > 0 && s.away != nil {
		return drakkar.Record{}, s.away
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	rec, err := s.a.record(ctx, s.w, m)
	if err != nil && !errors.Is(err, ErrRecordGone) {
		s.away = err
	}
	return rec, err
}

func (s *sources) letter(l workflows.Letter) dlq.Envelope {
	e := dlq.Envelope{
		ID: letterID(s.w, l), Kind: dlq.Kind(l.Kind), Pipeline: s.w.Pipeline, Workflow: s.w.WorkflowID(),
		Class: l.Class, Error: l.Error, Attempts: l.Attempts,
		FirstFailed: l.First, LastFailed: l.Last, Written: time.Now().UTC(),
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
		if from := l.Task.SourceOffsets[0]; from != l.Offset {
			// Among the letters of another message, which has an index like this.
			o.Index = "o" + strconv.FormatInt(from, 10) + "." + o.Index
		}
	}
	return o.DeliveryID(0)
}

func (s *sources) payload(o workflows.Output, job workflows.DeliverJob) dlq.Envelope {
	p := o.Payload
	return dlq.Envelope{
		ID: p.ID, Kind: dlq.KindPayload, Pipeline: s.w.Pipeline, Workflow: s.w.WorkflowID(),
		Class: job.Class, Error: job.Error, Attempts: job.Attempts,
		FirstFailed: job.First, LastFailed: time.Now().UTC(), Written: time.Now().UTC(),
		Payload: &p,
	}
}

func listLen[T any](lists []blobs.List[T]) int {
	n := 0
	for _, l := range lists {
		n += l.Len
	}
	return n
}
