package replay

import (
	"time"

	"github.com/drakkar-go/drakkar/dlq"
)

// Options are what a replay is made of.
type Options struct {
	Queue     dlq.Queue
	Selection dlq.Selection
	Target    *Target

	// Dir holds checkpoints and the audit file. It is made if need be.
	Dir string

	// Rate is how many dead letters are replayed a second at most; 0 sets no
	// limit.
	Rate float64

	// Limit ends the run after so many were replayed; 0 sets no limit. The next
	// run goes on behind them.
	Limit int

	// Patience is how long a target that fails for now is tried again before the
	// run ends. Defaults to 5 minutes.
	Patience time.Duration

	// DryRun changes nothing anywhere: no target is opened, and neither
	// checkpoint nor audit is written. What would be done is told to Each.
	DryRun bool

	// Restart begins at the start of the queue, whatever the checkpoint says.
	Restart bool

	// Progress is told now and then how far it is. Optional.
	Progress func(Progress)

	// Each is told what became, or would become, of each dead letter. Optional.
	Each func(AuditLine)
}

// maxLines is how many lines of the audit are kept back at most.
const maxLines = 1000

const defaultPatience = 5 * time.Minute

// Counts are dead letters by what became of them.
type Counts struct {
	Selected int `json:"selected"`
	Replayed int `json:"replayed"`
	// Refused cannot be replayed to this target, Failed were refused by it.
	Refused int `json:"refused"`
	Failed  int `json:"failed"`
	// Doubles are further dead letters of what was replayed already.
	Doubles int `json:"doubles"`
	// Unreadable are records that are no dead letters this program reads.
	Unreadable int `json:"unreadable"`
}

// Report is how a replay ended.
type Report struct {
	// Counts are those since the queue was last read to its end, over all runs.
	Counts
	// Earlier is how many of Replayed were so in earlier runs.
	Earlier int `json:"earlier"`
	// Complete is set when the end was reached.
	Complete bool `json:"complete"`
}

// Left reports whether there is something that was selected, or could be, and
// was not replayed.
func (r Report) Left() bool {
	return !r.Complete || r.Refused+r.Failed+r.Unreadable > 0
}

// Progress is how far a replay is.
type Progress struct {
	Counts
	// Earlier is how many of Replayed were so in earlier runs.
	Earlier int
	// Read of Total positions of the queue were passed.
	Read, Total int64
}

// Outcome is what became of a dead letter.
type Outcome string

// The outcomes.
const (
	Replayed   Outcome = "replayed"
	Refused    Outcome = "refused"
	Failed     Outcome = "failed"
	Double     Outcome = "double"
	Unreadable Outcome = "unreadable"
	// Planned is Replayed, in a dry run.
	Planned Outcome = "planned"
)
