package dlqcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/drakkar-go/drakkar/dlq"
)

func (c *command) show(ctx context.Context, args []string) (int, error) {
	if err := c.parse(newFlags("show", &c.o), args); err != nil {
		return 0, err
	}
	if len(c.args) == 0 {
		return 0, fmt.Errorf("%w: name positions or ids, as list shows them", errUsage)
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
	missing := map[string]bool{}
	var ids []string
	for _, name := range c.args {
		missing[name] = true
		at, ok := dlq.ParsePosition(name)
		if !ok {
			ids = append(ids, name)
			continue
		}
		if err := c.showAt(ctx, q, spans, at, missing); err != nil {
			return 0, err
		}
	}
	if len(ids) > 0 {
		selection := dlq.Selection{IDs: ids}
		err := q.Read(ctx, spans, func(e dlq.Entry) error {
			if e.Err == nil && selection.Matches(e.Envelope) {
				delete(missing, e.Envelope.ID)
				return c.print(e)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	var lost []string
	for _, name := range c.args {
		if missing[name] {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		return 0, fmt.Errorf("the queue holds no dead letter %s", strings.Join(lost, ", "))
	}
	return ExitOK, nil
}

// showAt shows what is at a position.
func (c *command) showAt(ctx context.Context, q dlq.Queue, spans []dlq.Span, at dlq.Position, missing map[string]bool) error {
	for _, s := range spans {
		if s.Log != at.Log || at.Offset < s.From || at.Offset >= s.To {
			continue
		}
		s.From = at.Offset
		err := q.Read(ctx, []dlq.Span{s}, func(e dlq.Entry) error {
			switch {
			case e.At != at: // compacted away
			case e.Err != nil:
				return e.Err
			default:
				delete(missing, at.String())
				if err := c.print(e); err != nil {
					return err
				}
			}
			return errEnough
		})
		return except(err, errEnough)
	}
	return nil
}

func (c *command) print(e dlq.Entry) error {
	enc := json.NewEncoder(c.env.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(show(e)); err != nil {
		return errors.Join(errors.New("writing the dead letter"), err)
	}
	return nil
}
