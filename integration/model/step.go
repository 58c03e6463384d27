package model

import "fmt"

// what happens in a step.
type what uint8

const (
	_ what = iota
	assigns
	timesOut
	revokes
	loses
	dies
	operatorResets
	operatorKeeps
	expires
	compacts
	finishes
	terminates
	deletes
	commitArrives
	startArrives
	asks
	commits
	starts
	hearsNothing
	polls
	outOfRange
	learnsResult
	learnsProgress
	resetsWindow
	startsAgain
	findsOther
)

// step leads from one state to another.
type step struct {
	what what
	who  int8
	ask  Kind
	link Link
	a, b int8
	ok   bool
	meta Name
}

// text is the step for people.
func (st step) text(names *Names) string {
	win := fmt.Sprintf("%s/%d (%d..%d)", names.Text(st.link.Epoch), st.link.Start, st.link.Start, st.a)
	owner := fmt.Sprintf("owner %d ", st.who)
	switch st.what {
	case assigns:
		return fmt.Sprintf("group gives the partition to owner %d", st.who)
	case timesOut:
		return fmt.Sprintf("session of owner %d times out, it goes on", st.who)
	case revokes, loses, dies:
		return owner + map[what]string{revokes: "is revoked", loses: "notices that it lost the partition", dies: "dies"}[st.what] + st.underWay()
	case operatorResets:
		return fmt.Sprintf("operator resets the offset to %d", st.a)
	case operatorKeeps:
		return fmt.Sprintf("operator resets the offset to %d with a tool that keeps the metadata", st.a)
	case expires:
		return fmt.Sprintf("retention removes record %d", st.a)
	case compacts:
		return fmt.Sprintf("compaction removes record %d", st.a)
	case finishes:
		return fmt.Sprintf("window %s finishes message %d", win, st.b)
	case terminates:
		return fmt.Sprintf("window %s is terminated", win)
	case deletes:
		return fmt.Sprintf("window %s is deleted", win)
	case startArrives:
		return fmt.Sprintf("start of %s arrives, nobody waits for it", win)
	case commitArrives:
		return fmt.Sprintf("commit of %d %s arrives, nobody waits for it", st.a, names.Text(st.meta))
	default:
		return st.ofOwner(names, owner, win)
	}
}

func (st step) underWay() string {
	switch st.ask {
	case Start:
		return ", a start is under way"
	case Commit:
		return ", a commit is under way"
	default:
		return ""
	}
}

func (st step) ofOwner(names *Names, owner, win string) string {
	switch st.what {
	case commits:
		return fmt.Sprintf("%scommits %d %s%s", owner, st.a, names.Text(st.meta), unless(st.ok, ", refused"))
	case asks:
		return owner + st.reads(names)
	case starts:
		return fmt.Sprintf("%sstarts %s%s", owner, win, unless(st.ok, ", which was started before"))
	case hearsNothing:
		if st.ask == Commit {
			return fmt.Sprintf("%scommits %d %s and gets no answer", owner, st.a, names.Text(st.meta))
		}
		return fmt.Sprintf("%sstarts %s and gets no answer", owner, win)
	case polls:
		return fmt.Sprintf("%sreads record %d", owner, st.a)
	case outOfRange:
		return owner + "finds its position gone from the log, and prepares anew"
	case learnsResult:
		return fmt.Sprintf("%slearns that %s is finished", owner, win)
	case learnsProgress:
		return fmt.Sprintf("%slearns the progress of %s", owner, win)
	case resetsWindow:
		return fmt.Sprintf("%sresets %s, which was terminated", owner, win)
	case startsAgain:
		return fmt.Sprintf("%sfinds %s gone and starts it again", owner, win)
	case findsOther:
		return fmt.Sprintf("%sfinds another window in the place of %s, and prepares anew", owner, win)
	default:
		return fmt.Sprintf("step %d", st.what)
	}
}

func (st step) reads(names *Names) string {
	switch st.ask {
	case Committed:
		return fmt.Sprintf("reads the committed offset: %d %s", st.a, names.Text(st.meta))
	case Ends:
		return fmt.Sprintf("reads the log's ends: %d and %d", st.a, st.b)
	case Describe:
		id := fmt.Sprintf("%s/%d", names.Text(st.link.Epoch), st.link.Start)
		if !st.ok {
			return "looks for window " + id + ", which is not there"
		}
		return fmt.Sprintf("finds window %s, which ends at %d", id, st.a)
	default:
		return "waits"
	}
}

func unless(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}
