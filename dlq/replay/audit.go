package replay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/drakkar-go/drakkar/dlq"
)

// AuditLine is what became of one dead letter.
type AuditLine struct {
	Time time.Time `json:"ts"`
	// By is who did it: user@host.
	By      string  `json:"by"`
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`

	// Queue, At and the rest say which dead letter it was. All but these two are
	// empty when it could not be read.
	Queue string       `json:"queue"`
	At    dlq.Position `json:"at"`
	ID    string       `json:"id,omitempty"`
	Kind  dlq.Kind     `json:"kind,omitempty"`
	Class string       `json:"class,omitempty"`
	// Source is topic/partition@offset of the message.
	Source string `json:"source,omitempty"`

	// Target is where it went: sink, source or topic:name. Sink is which sink, of
	// a payload; Hops how often the message has been replayed by now.
	Target string `json:"target"`
	Sink   string `json:"sink,omitempty"`
	Hops   int    `json:"hops,omitempty"`
}

// whoami is the user and the host of this process, as far as they are known.
func whoami() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return cmp.Or(name, "unknown") + "@" + cmp.Or(host, "unknown")
}

// settled notes what became of an entry.
func (r *run) settled(e dlq.Entry, o Outcome, why error) {
	l := AuditLine{
		Time: time.Now().UTC(), By: r.by, Outcome: o, Queue: r.o.Queue.Name(), At: e.At, Target: r.o.Target.Name(),
	}
	if why != nil {
		l.Error = why.Error()
	}
	if e.Err == nil {
		src := e.Envelope.Source
		l.ID, l.Kind, l.Class = e.Envelope.ID, e.Envelope.Kind, e.Envelope.Class
		l.Source = fmt.Sprintf("%s/%d@%d", src.Topic, src.Partition, src.Offset)
		if e.Envelope.Payload != nil {
			l.Sink = e.Envelope.Payload.To.String()
		}
		if o == Replayed && l.Target != targetSink {
			l.Hops = Hops(e.Envelope) + 1
		}
	}
	r.mark.Counts.add(o)
	r.o.Each(l)
	r.lines = append(r.lines, l)
}

func (c *Counts) add(o Outcome) {
	switch o {
	case Replayed, Planned:
		c.Replayed++
	case Refused:
		c.Refused++
	case Failed:
		c.Failed++
	case Double:
		c.Doubles++
	case Unreadable:
		c.Unreadable++
	}
}

// audit is the file with one line for each dead letter that was worked on.
type audit struct{ file *os.File }

// AuditFile is the name of that file, in the directory of the checkpoints.
const AuditFile = "audit.jsonl"

func openAudit(dir string) (*audit, error) {
	f, err := os.OpenFile(filepath.Join(dir, AuditFile), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	a := &audit{file: f}
	if err := a.mend(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	return a, nil
}

// mend ends a line that a crash left torn, so that it spoils no other.
func (a *audit) mend() error {
	info, err := a.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := a.file.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = a.file.WriteString("\n")
	}
	return err
}

// write appends the lines in one piece, so that those of several processes do
// not mix, and syncs them.
func (a *audit) write(lines []AuditLine) error {
	if len(lines) == 0 {
		return nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return fmt.Errorf("encoding a line of the audit file: %w", err)
		}
	}
	if _, err := a.file.Write(text.Bytes()); err != nil {
		return fmt.Errorf("writing the audit file: %w", err)
	}
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("syncing the audit file: %w", err)
	}
	return nil
}

func (a *audit) close() { _ = a.file.Close() }
