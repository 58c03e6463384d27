package dlqcmd

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drakkar-go/drakkar/dlq"
)

// options are the flags of all commands. Each command knows some of them.
type options struct {
	config  string
	dir     string
	timeout time.Duration

	selection dlq.Selection
	relative  string // a flag with a time that is another one each run

	format string
	limit  int

	to       string
	state    string
	rate     float64
	patience time.Duration
	dryRun   bool
	restart  bool
}

// errUsage is a command line that is wrong.
var errUsage = errors.New("the command line is wrong")

func newFlags(name string, o *options) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.config, "config", "", "")
	f.StringVar(&o.dir, "dir", "", "")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "")
	return f
}

// selecting adds the flags of a selection.
func (o *options) selecting(f *flag.FlagSet, now time.Time) {
	s := &o.selection
	f.Func("id", "", func(v string) error { s.IDs = append(s.IDs, v); return nil })
	f.Func("class", "", each(func(v string) error { s.Classes = append(s.Classes, v); return nil }))
	f.Func("sink", "", each(func(v string) error { s.Sinks = append(s.Sinks, v); return nil }))
	f.Func("topic", "", each(func(v string) error { s.Topics = append(s.Topics, v); return nil }))
	f.Func("kind", "", each(func(v string) error {
		switch k := dlq.Kind(v); k {
		case dlq.KindMessage, dlq.KindPayload, dlq.KindTask:
			s.Kinds = append(s.Kinds, k)
			return nil
		}
		return errors.New("want message, task or payload")
	}))
	f.Func("partition", "", each(func(v string) error {
		p, err := strconv.ParseInt(v, 10, 32)
		if err != nil || p < 0 {
			return errors.New("want a number of a partition")
		}
		s.Partitions = append(s.Partitions, int32(p))
		return nil
	}))
	f.StringVar(&s.Text, "text", "", "")
	f.Func("since", "", o.moment("since", &s.Since, now))
	f.Func("until", "", o.moment("until", &s.Until, now))
}

// each calls set for the parts of a list with commas.
func each(set func(string) error) func(string) error {
	return func(list string) error {
		for v := range strings.SplitSeq(list, ",") {
			if err := set(strings.TrimSpace(v)); err != nil {
				return err
			}
		}
		return nil
	}
}

// moment reads a time, a day, or how long ago something was.
func (o *options) moment(name string, to *time.Time, now time.Time) func(string) error {
	return func(v string) error {
		if ago, err := time.ParseDuration(v); err == nil && ago >= 0 {
			*to = now.Add(-ago).UTC().Truncate(time.Second)
			o.relative = fmt.Sprintf("-%s %s is another time in each run, by which none could be resumed: write -%s %s", name, v, name, to.Format(time.RFC3339))
			return nil
		}
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, v); err == nil {
				*to = t.UTC()
				return nil
			}
		}
		return errors.New("want 2006-01-02T15:04:05Z, 2006-01-02 (UTC), or how long ago as in 24h")
	}
}

// oneOf makes a flag that takes one of some words.
func oneOf(to *string, words ...string) func(string) error {
	*to = words[0]
	return func(v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		*to = v
		return nil
	}
}
