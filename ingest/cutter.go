package ingest

import "github.com/drakkar-go/drakkar/workflows"

// maxAlone is how many bytes one message may have in a window of its own, well
// below the 2 MiB that Temporal accepts. Larger ones do not travel at all.
const maxAlone = 1_800_000

// maxRead is how many bytes of values that do not travel one window may have:
// executors read all of them into memory at the same time.
const maxRead = 16 << 20

// cutter decides how much of what waits makes the next window.
type cutter struct {
	maxMessages int
	maxBytes    int
}

// cut returns how many messages from the head of the queue make a window, and
// their bytes as they travel: as many as fit, and at least one.
func (c cutter) cut(queue []workflows.Message) (n, bytes int) {
	read := 0
	for n < len(queue) && n < c.maxMessages {
		size := queue[n].EncodedLen()
		if n > 0 && (bytes+size > c.maxBytes || read+queue[n].Size > maxRead) {
			break
		}
		bytes += size
		read += queue[n].Size
		n++
	}
	return n, bytes
}

// travelling is the message as it goes into a window: without a value that is
// larger than inlineMax, and with nothing but its coordinates when even its key
// and headers are too much. Size then tells executors to read the whole record
// from Kafka; it is what was left out, in bytes.
func travelling(m workflows.Message, inlineMax int) workflows.Message {
	whole := m
	if len(m.Value) > inlineMax {
		m.Value, m.Size = nil, len(m.Value)
	}
	if m.EncodedLen() > maxAlone {
		return coordinates(whole)
	}
	return m
}

// coordinates is the message without anything that executors can read from
// Kafka.
func coordinates(m workflows.Message) workflows.Message {
	return workflows.Message{Offset: m.Offset, Timestamp: m.Timestamp, Size: max(1, m.Size, recordSize(m))}
}

// recordSize are the bytes of the message's key, value and headers.
func recordSize(m workflows.Message) int {
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
