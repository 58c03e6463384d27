package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/drakkar-go/drakkar/sinks"
)

// array sends the batch as one JSON array, without the payloads that are no
// JSON.
func (d *delivery) array(ctx context.Context) {
	good := make([]int, 0, len(d.batch))
	for i, p := range d.batch {
		if err := d.sink.Validate(p); err != nil {
			d.fail(i, &sinks.Failure{Class: sinks.Permanent, Err: err})
			continue
		}
		good = append(good, i)
	}
	if len(good) > 0 {
		d.part(ctx, good)
	}
}

// part sends the payloads at the given positions as one array. When the server
// says that something about the content is wrong, or that it is too much, the
// halves are sent instead, down to the single payload that is at fault.
func (d *delivery) part(ctx context.Context, at []int) {
	f := d.try(ctx, func() *sinks.Failure { return d.sink.send(ctx, arrayKey(d.batch, at), arrayBody(d.batch, at), nil) })
	if f == nil {
		return
	}
	if len(at) > 1 && asRequestError(f.Err).ofContent {
		d.part(ctx, at[:len(at)/2])
		d.part(ctx, at[len(at)/2:])
		return
	}
	for _, i := range at {
		d.fail(i, f)
	}
}

func arrayBody(batch []sinks.Payload, at []int) []byte {
	size := 2
	for _, i := range at {
		size += len(batch[i].Value) + 1
	}
	var b bytes.Buffer
	b.Grow(size)
	b.WriteByte('[')
	for n, i := range at {
		if n > 0 {
			b.WriteByte(',')
		}
		b.Write(batch[i].Value)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// arrayKey is the same whenever the same payloads are sent together.
func arrayKey(batch []sinks.Payload, at []int) string {
	sum := sha256.New()
	for _, i := range at {
		sum.Write([]byte(batch[i].ID))
		sum.Write([]byte{0})
	}
	return "batch-" + hex.EncodeToString(sum.Sum(nil)[:16])
}
