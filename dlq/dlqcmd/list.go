package dlqcmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/drakkar-go/drakkar/dlq"
	"github.com/drakkar-go/drakkar/dlq/replay"
)

// errEnough ends the reading of a queue early.
var errEnough = errors.New("that is enough")

func (c *command) list(ctx context.Context, args []string) (int, error) {
	f := newFlags("list", &c.o)
	c.o.selecting(f, c.now)
	f.Func("format", "", oneOf(&c.o.format, "table", "json"))
	f.IntVar(&c.o.limit, "limit", 0, "")
	if err := c.parse(f, args); err != nil {
		return 0, err
	}
	if len(c.args) > 0 {
		return 0, fmt.Errorf("%w: list takes no argument %q", errUsage, c.args[0])
	}
	q, err := c.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = q.Close() }()

	spans, err := q.Spans(ctx)
	if err != nil {
		return 0, err
	}
	p := newPrinter(c.env.Out, c.o.format)
	read, shown, unreadable := 0, 0, 0
	err = q.Read(ctx, spans, func(e dlq.Entry) error {
		read++
		switch {
		case e.Err != nil:
			unreadable++
			c.warn(printable(e.Err.Error()))
		case c.o.selection.Matches(e.Envelope):
			if err := p.print(e); err != nil {
				return err
			}
			shown++
		}
		if c.o.limit > 0 && shown == c.o.limit {
			return errEnough
		}
		return nil
	})
	if err := errors.Join(p.end(), except(err, errEnough)); err != nil {
		return 0, err
	}
	fmt.Fprintf(c.env.ErrOut, "%d of %d dead letters, %d records that are none\n", shown, read-unreadable, unreadable)
	if unreadable > 0 {
		return ExitLeft, nil
	}
	return ExitOK, nil
}

func except(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// shown is a dead letter as JSON.
type shown struct {
	At     string       `json:"at"`
	Hops   int          `json:"hops,omitempty"`
	Letter dlq.Envelope `json:"letter"`
}

func show(e dlq.Entry) shown {
	return shown{At: e.At.String(), Hops: replay.Hops(e.Envelope), Letter: e.Envelope}
}

// printer writes the list.
type printer struct {
	out   io.Writer
	json  *json.Encoder // nil for a table
	table *tabwriter.Writer
	rows  int
}

func newPrinter(out io.Writer, format string) *printer {
	p := &printer{out: out}
	if format == "json" {
		p.json = json.NewEncoder(out)
		p.json.SetEscapeHTML(false)
		return p
	}
	const padding = 2
	p.table = tabwriter.NewWriter(out, 0, 0, padding, ' ', 0)
	return p
}

func (p *printer) print(e dlq.Entry) error {
	if p.json != nil {
		return p.json.Encode(show(e))
	}
	if p.rows == 0 {
		fmt.Fprintln(p.table, "POSITION\tWRITTEN\tKIND\tCLASS\tSINK\tSOURCE\tHOPS\tERROR")
	}
	l := e.Envelope
	sink := "-"
	if l.Payload != nil {
		sink = l.Payload.To.String()
	}
	cells := []string{
		e.At.String(), l.Written.UTC().Format(time.RFC3339), string(l.Kind), cmp.Or(l.Class, "-"), sink,
		fmt.Sprintf("%s/%d@%d", l.Source.Topic, l.Source.Partition, l.Source.Offset), strconv.Itoa(replay.Hops(l)), shorten(l.Error),
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	fmt.Fprintln(p.table, strings.Join(cells, "\t"))
	// A long list appears as it is read, in pieces with columns of their own.
	const piece = 500
	if p.rows++; p.rows%piece == 0 {
		return p.table.Flush()
	}
	return nil
}

func (p *printer) end() error {
	if p.table == nil {
		return nil
	}
	return p.table.Flush()
}

// shorten leaves the beginning of a text's first line.
func shorten(s string) string {
	const most = 100
	s, rest, _ := strings.Cut(s, "\n")
	r := []rune(s)
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	if rest != "" {
		return s + " …"
	}
	return s
}

// printable makes a text harmless to a terminal: errors quote what programs
// printed.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
