package model

import (
	"cmp"
	"slices"
)

// none is the committed offset of a group that has committed none, and the
// holder of a partition that nobody has.
const none = -1

// processes own the partition in turn, or believe to.
const processes = 2

// state is the whole world. It is compared, and copied, as it is.
type state struct {
	low  int8  // the first offset of the log
	gone uint8 // records that are not in the log any more

	committed Position
	holder    int8 // whom the group has given the partition to
	used      [budgets]int8

	owners [processes]ownership
	stray  stray

	windows [maxWindows]window // by epoch and start; those that are not, last
	full    bool               // there was a window too many

	holes [maxDeletions]Link // where windows were deleted

	finished uint8             // messages whose work was done
	lost     uint8             // messages that were passed over
	redo     [maxMessages]int8 // the reset since which a message has to be done
	allowed  [maxMessages]int8 // how often a message may still be finished
}

// ownership is what a process believes to own.
type ownership struct {
	node   node
	era    int8 // resets before its program read the committed offset
	fenced bool // the group does not know it any more
}

// stray is a start or a commit that nobody waits for any more.
type stray struct {
	ask    Ask
	era    int8
	begins bool // a commit that begins an epoch
}

// status is a window's.
type status uint8

const (
	absent status = iota
	running
	completed
	terminated
)

// window is a workflow.
type window struct {
	status status
	link   Link
	last   int8
	holds  uint8 // its messages
	done   uint8
	era    int8 // of the ownership that started it
}

func (win *window) compare(o *window) int {
	// The absent are behind all others.
	if d := cmp.Compare(btoi(win.status == absent), btoi(o.status == absent)); d != 0 {
		return d
	}
	return cmp.Or(cmp.Compare(win.link.Epoch, o.link.Epoch), cmp.Compare(win.link.Start, o.link.Start))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// find is the window of a link, or nil.
func (s *state) find(l Link) *window {
	for i := range s.windows {
		if w := &s.windows[i]; w.status != absent && w.link == l {
			return w
		}
	}
	return nil
}

// put starts a window. It is false when the link has one.
func (s *state) put(a Ask, era int8) bool {
	if s.find(a.Link) != nil {
		return false
	}
	w := &s.windows[maxWindows-1]
	s.full = s.full || w.status != absent
	*w = window{status: running, link: a.Link, last: a.Last, holds: a.Mask, era: era}
	s.sort()
	return true
}

func (s *state) sort() {
	slices.SortFunc(s.windows[:], func(a, b window) int { return a.compare(&b) })
}

func bit(offset int8) uint8 { return 1 << offset }

// within is the mask of the offsets first..last.
func within(first, last int8) uint8 {
	var m uint8
	for o := max(first, 0); o <= last && o < maxMessages; o++ {
		m |= bit(o)
	}
	return m
}

// settle puts processes in order: which is which does not matter for what may
// come. It reports whether they changed places.
func (s *state) settle() bool {
	// The one who has the partition comes first of two that are alike.
	if order := s.owners[0].compare(&s.owners[1]); order < 0 || order == 0 && s.holder != 1 {
		return false
	}
	s.owners[0], s.owners[1] = s.owners[1], s.owners[0]
	if s.holder != none {
		s.holder = 1 - s.holder
	}
	return true
}

func (o *ownership) compare(p *ownership) int {
	return cmp.Or(cmp.Compare(p.node, o.node), cmp.Compare(o.era, p.era), cmp.Compare(btoi(o.fenced), btoi(p.fenced)))
}
