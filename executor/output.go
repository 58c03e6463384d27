package executor

import (
	"io"
	"slices"
	"strings"
)

const (
	// firstRead is how much room the first read of an output has.
	firstRead = 512

	// scratchSize is how much is read at once of what is dropped.
	scratchSize = 8 << 10

	// maxErrorLine bounds the line of stderr in an error's message.
	maxErrorLine = 200
)

// capture keeps the first max bytes of an output and reads the rest too, so
// that the program is never blocked by the limit.
type capture struct {
	max       int
	kept      []byte
	truncated bool
}

// keep adds what was read, as far as the limit allows.
func (c *capture) keep(b []byte) {
	n := min(len(b), c.max-len(c.kept))
	c.kept = append(c.kept, b[:n]...)
	c.truncated = c.truncated || n < len(b)
}

// ReadFrom implements io.ReaderFrom: it reads into the kept bytes themselves,
// which spares a buffer for each program.
func (c *capture) ReadFrom(r io.Reader) (total int64, err error) {
	for len(c.kept) < c.max {
		n, err := r.Read(c.room())
		c.kept = c.kept[:len(c.kept)+n]
		total += int64(n)
		if err != nil {
			return total, ignoreEOF(err)
		}
	}
	n, err := c.drop(r)
	return total + n, err
}

// room is where the next bytes go: never more than the limit allows.
func (c *capture) room() []byte {
	if len(c.kept) == cap(c.kept) {
		grown := min(max(firstRead, 2*cap(c.kept)), c.max)
		c.kept = slices.Grow(c.kept, grown-len(c.kept))
	}
	return c.kept[len(c.kept):min(cap(c.kept), c.max)]
}

// drop reads what is not kept.
func (c *capture) drop(r io.Reader) (total int64, err error) {
	scratch := make([]byte, scratchSize)
	for {
		n, err := r.Read(scratch)
		total += int64(n)
		c.truncated = c.truncated || n > 0
		if err != nil {
			return total, ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // readers return it bare
		return nil
	}
	return err
}

// firstLine is the first line that says anything, for an error's message.
func firstLine(output []byte) string {
	// More than the bound, for blank lines before it; not the whole output.
	head := string(output[:min(len(output), 4*maxErrorLine)])
	for line := range strings.Lines(head) {
		if line = strings.TrimSpace(line); line != "" {
			return bounded(line, maxErrorLine)
		}
	}
	return ""
}
