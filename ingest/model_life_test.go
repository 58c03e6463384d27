package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar/events"
	"github.com/drakkar-go/drakkar/integration/model"
	"github.com/drakkar-go/drakkar/workflows"
)

// broken are the ways in which tests break the protocol.
type broken uint8

const (
	whole         broken = iota
	randomEpochs         // each process has epoch ids of its own
	byFirstRecord        // windows are named by their first record
	noWalk               // what is committed is where reading goes on
	blindTrust           // metadata is believed whatever offset it comes with
	anyResult            // results are taken from windows of other ranges
	allFinished          // commits tell that open windows are finished
	forgetful            // what commits tell of finished windows is not read
)

// life is one ownership, as the code of this package lives it. The code runs as
// far as answers are known, and stops with an error at the first that is not.
// When that answer comes, what was under way runs once more.
type life struct {
	who    int
	names  *model.Names
	broken broken

	answers []model.Event // to what is under way: a round of preparation, or a start
	taken   int
	asked   model.Ask

	p    *partition      // once it runs
	size int             // of the window that is being started
	ids  map[int64]int64 // of windows by start, when they are not the same
	why  string          // what is not as expected

	trusts bool // without a walk: the metadata, in this round
}

var (
	errAsked    = errors.New("the answer is not known yet")
	errRefused  = errors.New("the commit was refused")
	errNoAnswer = errors.New("there was no answer")
)

// ask returns the answer to a question, when it is known.
func (l *life) ask(a model.Ask) (model.Event, error) {
	if l.taken < len(l.answers) {
		e := l.answers[l.taken]
		l.taken++
		if e.Kind == model.Failed {
			return e, errNoAnswer
		}
		if e.Kind != a.Kind {
			l.why = fmt.Sprintf("question %+v does not fit answer %+v", a, e)
		}
		return e, nil
	}
	if l.asked.Kind != model.Nothing {
		l.why = fmt.Sprintf("question %+v comes before the answer to %+v", a, l.asked)
	}
	l.asked = a
	return model.Event{}, errAsked
}

// Apply implements model.Machine.
func (l *life) Apply(e model.Event) {
	switch {
	case l.p == nil:
		l.answers = append(l.answers, e)
		l.prepare()
	case e.Kind == model.Poll:
		l.p.push(workflows.Message{Offset: int64(e.A)})
	case e.Kind == model.Cut:
		l.size, l.answers = int(e.A), nil
		l.start()
	case e.Kind == model.Accepted:
		l.p.due(0)
		l.p.accepted(int64(e.A))
	case e.Kind == model.Finished, e.Kind == model.Progress:
		l.learn(e)
	default:
		l.answers = append(l.answers, e)
		l.start()
	}
}

// prepare is one round, or as many as need no further answer. assignment.prepare
// does no more than repeat rounds.
func (l *life) prepare() {
	for {
		l.taken, l.asked = 0, model.Ask{}
		pl, settled, err := l.assignment().round(context.Background())
		switch {
		case l.asked.Kind != model.Nothing:
			return
		case err != nil && !errors.Is(err, errRefused) && !errors.Is(err, errNoAnswer):
			l.why = err.Error()
			return
		case settled:
			l.run(pl)
			return
		}
		l.answers = nil
	}
}

func (l *life) assignment() *assignment {
	now := time.Unix(1_700_000_000, 0)
	if l.broken == randomEpochs {
		now = now.AddDate(0, 0, l.who)
	}
	return &assignment{
		pipeline: "p", topic: chainTopic, broker: lifeBroker{l: l}, windows: lifeWindows{l: l},
		commit: func(_ context.Context, pos position) error {
			e, err := l.ask(model.Ask{Kind: model.Commit, Position: l.position(pos)})
			if err == nil && !e.OK {
				return errRefused
			}
			return err
		},
		record: events.Discard.Record,
		now:    func() time.Time { return now },
	}
}

func (l *life) position(pos position) model.Position {
	if m, ours, _ := parseMetadata(pos.metadata); ours && l.broken == allFinished {
		m.Finished = strings.Repeat("1", len(m.Lengths))
		pos.metadata = m.String()
	}
	return model.Position{Offset: int8(pos.offset), Meta: l.names.ID(pos.metadata)}
}

func (l *life) run(pl plan) {
	l.p = newPartition(context.Background(), chainTopic, 0, hysteresis{})
	l.p.run(pl)
	l.answers, l.trusts = nil, false
}

// start is what the dispatcher does about one window.
func (l *life) start() {
	i := &Ingest{opt: Options{Temporal: lifeWindows{l: l}}, events: events.Discard, cutter: cutter{maxMessages: l.size, maxBytes: 1 << 20}}
	l.taken, l.asked = 0, model.Ask{}
	in, bytes, ok := i.nextInput(l.p, i.cutter, false)
	if !ok {
		l.why = "there is nothing to cut"
		return
	}
	w, err := i.startOnce(l.p, in, bytes)
	if l.asked.Kind != model.Nothing {
		return
	}
	if err != nil && !errors.Is(err, errNoAnswer) && !errors.Is(err, ErrNotFound) {
		l.why = err.Error()
		return
	}
	if err == nil && l.broken == byFirstRecord {
		l.ids[w.link.Start] = in.Messages[0].Offset
	}
	l.size, l.answers = 0, nil
}

func (l *life) learn(e model.Event) {
	for _, w := range l.p.chain {
		if l.id(w.link.Start) != int64(e.A) {
			continue
		}
		if e.Kind == model.Finished {
			l.p.finish(w)
			return
		}
		l.p.progress(w, Description{Finished: ranges(e.Mask)})
		return
	}
}

// id is the start in the id of a window.
func (l *life) id(start int64) int64 {
	if id, ok := l.ids[start]; ok {
		return id
	}
	return start
}

// ranges and mask turn sets of offsets into each other.
func ranges(mask uint8) (out []workflows.Range) {
	for o := range int64(8) {
		if mask&(1<<o) != 0 {
			out = append(out, workflows.Range{First: o, Last: o})
		}
	}
	return out
}

func mask(r workflows.Range) (m uint8) {
	for o := r.First; o <= r.Last; o++ {
		m |= 1 << o
	}
	return m
}

// View implements model.Machine.
func (l *life) View() model.View {
	v := model.View{Ask: l.asked, Running: l.p != nil, Broken: l.why}
	if l.p == nil {
		return v
	}
	v.Next, v.Queued = int8(l.p.next), int8(len(l.p.queue.messages))
	pos, _ := l.p.due(0)
	v.Due = l.position(pos)
	for _, w := range l.p.chain {
		if !w.finished {
			known := model.Window{Link: l.link(w.link), Last: int8(w.last)}
			for _, r := range l.p.inputAgain(w).Finished {
				known.Done |= mask(r)
			}
			v.Open = append(v.Open, known)
		}
	}
	return v
}

func (l *life) link(link workflows.Link) model.Link {
	return model.Link{Epoch: l.names.ID(link.Epoch), Start: int8(l.id(link.Start))}
}

// Print implements model.Machine.
func (l *life) Print() string {
	who := 0
	if l.broken == randomEpochs {
		who = l.who
	}
	s := fmt.Sprint(who, l.size, l.answers, l.asked, l.why)
	if l.p == nil {
		return s
	}
	for _, w := range l.p.chain {
		s += fmt.Sprint(" ", w.link.Start, w.last, w.finished)
	}
	for _, m := range l.p.queue.messages {
		s += fmt.Sprint(" ", m.Offset)
	}
	return s + fmt.Sprint(l.p.plan.chain.Epoch, *l.p.tracker, l.p.queue.floor, l.p.next, l.p.committed, l.ids)
}

// lifeBroker is Kafka as an ownership sees it.
type lifeBroker struct{ l *life }

func (b lifeBroker) Committed(context.Context, int32) (committed, error) {
	e, err := b.l.ask(model.Ask{Kind: model.Committed})
	b.l.trusts = false
	c := committed{offset: int64(e.A), metadata: b.l.names.Text(e.Meta)}
	m, ours, _ := parseMetadata(c.metadata)
	switch {
	case b.l.broken == blindTrust && ours:
		c.offset = m.Offset
	case b.l.broken == noWalk && ours && m.Offset == c.offset:
		b.l.trusts = true
		m.Window, m.Lengths = m.Offset, nil
		c.metadata = m.String()
	case b.l.broken == forgetful && ours:
		m.Finished = ""
		c.metadata = m.String()
	}
	return c, err
}

func (b lifeBroker) Ends(context.Context, int32) (low, high int64, err error) {
	e, err := b.l.ask(model.Ask{Kind: model.Ends})
	return int64(e.A), int64(e.B), err
}

func (b lifeBroker) TopicID(context.Context) (string, error) { return "topicid-1", nil }

// lifeWindows is Temporal as an ownership sees it.
type lifeWindows struct {
	Windows

	l *life
}

func (w lifeWindows) Start(_ context.Context, in workflows.WindowInput) error {
	a := model.Ask{Kind: model.Start, Link: w.l.link(in.Link), Last: int8(in.Last)}
	for _, m := range in.Messages {
		a.Mask |= 1 << m.Offset
	}
	if w.l.broken == byFirstRecord {
		a.Link.Start = int8(in.Messages[0].Offset)
	}
	e, err := w.l.ask(a)
	if err == nil && !e.OK {
		return ErrAlreadyStarted
	}
	return err
}

func (w lifeWindows) Describe(_ context.Context, id string) (Description, error) {
	link, err := workflows.ParseWorkflowID(id)
	if err != nil {
		return Description{}, err
	}
	if w.l.trusts {
		return Description{}, ErrNotFound
	}
	e, err := w.l.ask(model.Ask{Kind: model.Describe, Link: w.l.link(link)})
	switch {
	case err != nil:
		return Description{}, err
	case !e.OK:
		return Description{}, ErrNotFound
	}
	if w.l.broken == byFirstRecord {
		w.l.ids[link.Start] = int64(e.B)
	}
	return Description{Last: int64(e.A), Messages: 1, Completed: e.Flag, Finished: ranges(e.Mask)}, nil
}

// code is this package under the model, broken or whole.
func code(b broken) model.Code {
	names := &model.Names{}
	return model.Code{
		Names: names, Finished: tells(names), ByFirstRecord: b == byFirstRecord, AnyResult: b == anyResult,
		Begin: func(who int) model.Machine {
			l := &life{who: who, names: names, broken: b, ids: map[int64]int64{}}
			l.prepare()
			return l
		},
	}
}

// tells reads what a commit tells of finished windows.
func tells(names *model.Names) func(model.Name, model.Link) bool {
	return func(meta model.Name, l model.Link) bool {
		m, ours, err := parseMetadata(names.Text(meta))
		_, finished, _ := m.window(int64(l.Start))
		return err == nil && ours && m.Epoch == names.Text(l.Epoch) && finished
	}
}
