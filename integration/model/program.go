package model

import (
	"slices"
	"sync"
)

// Kind says what an Event or an Ask is about.
type Kind uint8

// Kinds of events, and of what a program asks. Those of the second group are
// both: the program asks, and the event is the answer.
const (
	// Nothing: the program waits for nobody's answer.
	Nothing Kind = iota

	// Poll: the record with offset A was read.
	Poll
	// Cut: a window of A messages, if so many wait, is to be started.
	Cut
	// Finished: the window that starts at A has its result.
	Finished
	// Progress: of the window that starts at A the messages in Mask are done.
	Progress
	// Accepted: offset A was committed.
	Accepted
	// Failed: there is no answer, or a bad one, to what was asked.
	Failed

	// Committed: the committed offset. A is -1 when there is none.
	Committed
	// Ends: of the log, A and B.
	Ends
	// Describe: the window of Link. OK is false when it is not known, else it
	// ends at A, Mask of it is done, and Flag says whether it is completed.
	Describe
	// Commit: Position. OK says whether it was accepted.
	Commit
	// Start: the window of Link, which ends at Last and holds Mask. OK is false
	// when it was started before.
	Start
)

// Event is what happens to a program. Offsets are small, and sets of them are
// masks of bits.
type Event struct {
	Kind     Kind
	A, B     int8
	Mask     uint8
	OK, Flag bool
	Meta     Name
}

// Ask is what a program waits for.
type Ask struct {
	Kind     Kind
	Link     Link
	Last     int8
	Mask     uint8
	Position Position
}

// Link names a window.
type Link struct {
	Epoch Name
	Start int8
}

// Position is an offset to commit, with its metadata.
type Position struct {
	Offset int8
	Meta   Name
}

// View is what the model has to know of a program.
type View struct {
	Ask     Ask
	Running bool // it reads, cuts and follows

	Next   int8 // the offset it reads next
	Queued int8 // messages that wait for a window

	// Open are the windows it follows.
	Open []Window

	// Due is what it commits next.
	Due Position

	// Broken says what the program does that the model does not expect.
	Broken string
}

// Window is a window as an owner knows it.
type Window struct {
	Link Link
	Last int8
	Done uint8 // what the owner knows to be done, by progress or by its commits
}

// Machine runs the program of one ownership, from its assignment on. It does
// nothing by itself, and the same events make the same machine.
type Machine interface {
	Apply(e Event)
	View() View

	// Print is all that decides what the machine does next: two machines with
	// the same print are not told apart.
	Print() string
}

// node is a machine that was seen, by number. Zero is no ownership.
type node int32

// program remembers what machines do. A machine runs once for each event that
// happens to it, whatever else goes on in the world: that makes it possible to
// drive real code through millions of states.
type program struct {
	begin func(who int) Machine

	mu    sync.RWMutex
	known []history
	print map[string]node
	taken map[taken]node
}

// history is how a machine came to be.
type history struct {
	who    int
	events []Event
	view   *View
}

type taken struct {
	from  node
	event Event
}

func newProgram(begin func(who int) Machine) *program {
	return &program{begin: begin, known: make([]history, 1), print: map[string]node{}, taken: map[taken]node{}}
}

// start is the machine of a fresh ownership.
func (p *program) start(who int) node {
	key := taken{from: node(-1 - who)}
	if n, ok := p.lookUp(key); ok {
		return n
	}
	return p.learn(key, history{who: who})
}

// step is the machine after an event.
func (p *program) step(from node, e Event) node {
	key := taken{from: from, event: e}
	if n, ok := p.lookUp(key); ok {
		return n
	}
	p.mu.RLock()
	h := p.known[from]
	p.mu.RUnlock()
	return p.learn(key, history{who: h.who, events: append(slices.Clip(h.events), e)})
}

func (p *program) view(n node) *View {
	p.mu.RLock()
	defer p.mu.RUnlock()

	return p.known[n].view
}

func (p *program) lookUp(key taken) (node, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()

	n, ok := p.taken[key]
	return n, ok
}

// learn lets a machine live its history.
func (p *program) learn(key taken, h history) node {
	m := p.begin(h.who)
	for _, e := range h.events {
		m.Apply(e)
	}
	view, print := m.View(), m.Print()
	h.view = &view

	p.mu.Lock()
	defer p.mu.Unlock()

	n, ok := p.print[print]
	if !ok {
		n = node(len(p.known))
		p.known = append(p.known, h)
		p.print[print] = n
	}
	p.taken[key] = n
	return n
}

// Name is a text, by number. Zero is none.
type Name int16

// Names gives numbers to texts: ids of epochs, metadata.
type Names struct {
	mu    sync.Mutex
	ids   map[string]Name
	texts []string
}

// ID is the number of a text.
func (n *Names) ID(text string) Name {
	n.mu.Lock()
	defer n.mu.Unlock()

	if n.ids == nil {
		n.ids, n.texts = map[string]Name{"": 0}, []string{""}
	}
	id, ok := n.ids[text]
	if !ok {
		id = Name(len(n.texts))
		n.ids[text] = id
		n.texts = append(n.texts, text)
	}
	return id
}

// Text is the text of a number that ID gave.
func (n *Names) Text(id Name) string {
	if id == 0 {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.texts[id]
}
