package model

import (
	"errors"
	"flag"
	"fmt"
)

const (
	// maxMessages is the longest log: sets of its offsets are masks of 8 bits.
	maxMessages = 8

	// maxWindows is how many windows the world may hold, closed ones included.
	maxWindows = 8

	// maxDeletions is how many windows may be deleted.
	maxDeletions = 2
)

// budget is something that may happen only so often.
type budget uint8

const (
	rebalances budget = iota
	crashes
	losses
	lates
	unanswered
	terminations
	deletions
	resets
	compactions
	expiries
	troubles
	budgets
)

// Bounds are what an exploration stays within. All counts are over the whole
// life of the partition.
type Bounds struct {
	// Messages are the records of the log, 1 to 8. Defaults to 3.
	Messages int `json:"messages"`
	// Window is the largest cut, in messages: each owner cuts any size up to
	// it. Defaults to 2.
	Window int `json:"window"`

	// Rebalances are how often the group gives the partition to somebody.
	// Defaults to 3.
	Rebalances int `json:"rebalances"`
	// Crashes are how often an owner dies. Defaults to 1.
	Crashes int `json:"crashes"`
	// Losses are how often a session times out: the owner goes on for a while
	// beside the next one. Defaults to 2.
	Losses int `json:"losses"`
	// Late are commits of former owners that are accepted all the same, and
	// starts that arrive after their owner is gone. Defaults to 1.
	Late int `json:"late"`
	// Unanswered are starts whose answer is lost. Defaults to 1.
	Unanswered int `json:"unanswered"`
	// Terminations are how often a window ends without its result. Defaults
	// to 1.
	Terminations int `json:"terminations"`
	// Deletions are how often a window vanishes from Temporal. Defaults to 1.
	Deletions int `json:"deletions"`
	// Resets are how often an operator sets the offset back. Defaults to 1.
	Resets int `json:"resets"`
	// Compactions are records that vanish from the middle of the log. Defaults
	// to 1.
	Compactions int `json:"compactions"`
	// Expiries are records that vanish from the log's beginning. Defaults to 1.
	Expiries int `json:"expiries"`
	// Troubles are how often anything of the above happens, rebalances apart.
	// Defaults to 2.
	Troubles int `json:"troubles"`

	// States is where the exploration gives up. Defaults to 50 million.
	States int `json:"states"`
	// Workers are how many goroutines explore. Defaults to 2.
	Workers int `json:"workers"`
}

// Defaults are the bounds of an exploration of about a minute.
func Defaults() Bounds {
	return Bounds{
		Messages: 3, Window: 2, Rebalances: 3, Crashes: 1, Losses: 2, Late: 1, Unanswered: 1, Terminations: 1,
		Deletions: 1, Resets: 1, Compactions: 1, Expiries: 1, Troubles: 2, States: 50_000_000, Workers: 2,
	}
}

// bound is a field of Bounds by the name of its flag.
type bound struct {
	name, usage string
	value       *int
	budget      budget // budgets when it is none
}

func (b *Bounds) all() []bound {
	return []bound{
		{"messages", "records of the log, 1 to 8", &b.Messages, budgets},
		{"window", "largest cut, in messages", &b.Window, budgets},
		{"rebalances", "how often the group gives the partition to somebody", &b.Rebalances, rebalances},
		{"crashes", "how often an owner dies", &b.Crashes, crashes},
		{"losses", "how often a session times out while its owner goes on", &b.Losses, losses},
		{"late", "commits of former owners that are accepted, and starts that outlive their owner", &b.Late, lates},
		{"unanswered", "starts whose answer is lost", &b.Unanswered, unanswered},
		{"terminations", "windows that end without a result", &b.Terminations, terminations},
		{"deletions", "windows that vanish from Temporal", &b.Deletions, deletions},
		{"resets", "how often an operator sets the offset back", &b.Resets, resets},
		{"compactions", "records that vanish from the middle of the log", &b.Compactions, compactions},
		{"expiries", "records that vanish from the beginning of the log", &b.Expiries, expiries},
		{"troubles", "all of the above together, without rebalances", &b.Troubles, troubles},
		{"states", "where to give up", &b.States, budgets},
		{"workers", "goroutines that explore", &b.Workers, budgets},
	}
}

// Flags makes flags of the bounds, whose defaults are what they are now.
func (b *Bounds) Flags(fs *flag.FlagSet) {
	for _, f := range b.all() {
		fs.IntVar(f.value, f.name, *f.value, f.usage)
	}
}

func (b *Bounds) validate() error {
	var errs []error
	if b.Messages < 1 || b.Messages > maxMessages {
		errs = append(errs, fmt.Errorf("messages: %d is outside 1..%d", b.Messages, maxMessages))
	}
	for _, f := range b.all() {
		if *f.value < 0 || *f.value > 100 && f.name != "states" {
			errs = append(errs, fmt.Errorf("%s: %d is outside 0..100", f.name, *f.value))
		}
	}
	if b.Deletions > maxDeletions {
		errs = append(errs, fmt.Errorf("deletions: %d is more than %d", b.Deletions, maxDeletions))
	}
	if b.Window < 1 || b.Workers < 1 || b.States < 1 {
		errs = append(errs, errors.New("window, workers and states begin at 1"))
	}
	return errors.Join(errs...)
}

// limits are the bounds that are counted while exploring.
func (b *Bounds) limits() (l [budgets]int8) {
	for _, f := range b.all() {
		if f.budget < budgets {
			l[f.budget] = int8(*f.value)
		}
	}
	return l
}
