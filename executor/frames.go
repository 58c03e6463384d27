package executor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The framings of the protocol of resident programs: a line of JSON for each
// message, or JSON behind its length, four bytes with the highest first.
const (
	FramingLines  = "lines"
	FramingLength = "length"
)

const (
	// lengthBytes is how many bytes a length has.
	lengthBytes = 4

	// frameBuffer is what is kept of the buffer once its frame is done with.
	frameBuffer = 64 << 10
)

// errFrameTooLong says that a frame is longer than it may be.
var errFrameTooLong = errors.New("a frame is too long")

// appendFrame appends a message, JSON without line breaks, as a frame.
func appendFrame(dst []byte, framing string, message []byte) []byte {
	if framing == FramingLength {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(message)))
		return append(dst, message...)
	}
	return append(append(dst, message...), '\n')
}

// frames cuts what a program writes into frames. Of a frame that is too long it
// holds little more than the limit.
type frames struct {
	src     io.Reader
	framing string
	max     int // bytes of one frame, without its length or line break

	buf     []byte
	used    int // bytes of buf that belong to the frame handed out last
	scanned int // bytes of buf in which there is no line break
}

// next returns the next frame; it is valid until next is called again. The
// error is io.EOF between frames, io.ErrUnexpectedEOF inside of one, wraps
// errFrameTooLong, or is that of reading.
func (f *frames) next() ([]byte, error) {
	f.forget()
	for {
		frame, size, err := f.cut()
		if err != nil {
			return nil, err
		}
		if size > 0 {
			f.used = size
			return frame, nil
		}
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(f.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// held is what was read since the frame before last: the frame handed out last,
// or what is there of one that is not whole, and anything behind it.
func (f *frames) held() []byte { return f.buf }

// beyond reports whether something behind the last frame was read.
func (f *frames) beyond() bool { return len(f.buf) > f.used }

// forget drops the frame that was handed out last.
func (f *frames) forget() {
	f.buf = f.buf[:copy(f.buf, f.buf[f.used:])]
	f.used, f.scanned = 0, 0
	if len(f.buf) == 0 && cap(f.buf) > frameBuffer {
		f.buf = nil
	}
}

// cut finds the frame at the beginning of the buffer; size is what it takes up
// there, 0 while it is not whole.
func (f *frames) cut() (frame []byte, size int, err error) {
	if f.framing == FramingLength {
		return f.cutLength()
	}
	end := bytes.IndexByte(f.buf[f.scanned:], '\n')
	if end < 0 {
		f.scanned = len(f.buf)
		if len(f.buf) > f.max {
			return nil, 0, fmt.Errorf("%w: more than %d bytes without a line break", errFrameTooLong, f.max)
		}
		return nil, 0, nil
	}
	if end += f.scanned; end > f.max {
		return nil, 0, fmt.Errorf("%w: a line of %d bytes, where %d are allowed", errFrameTooLong, end, f.max)
	}
	return f.buf[:end], end + 1, nil
}

func (f *frames) cutLength() (frame []byte, size int, err error) {
	if len(f.buf) < lengthBytes {
		return nil, 0, nil
	}
	length := int64(binary.BigEndian.Uint32(f.buf))
	if length > int64(f.max) {
		return nil, 0, fmt.Errorf("%w: a length of %d bytes, where %d are allowed", errFrameTooLong, length, f.max)
	}
	if size = lengthBytes + int(length); len(f.buf) < size {
		return nil, 0, nil
	}
	return f.buf[lengthBytes:size], size, nil
}

// fill reads more.
func (f *frames) fill() error {
	if len(f.buf) == cap(f.buf) {
		f.buf = slices.Grow(f.buf, max(firstRead, len(f.buf)))
	}
	n, err := f.src.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	if n > 0 {
		return nil // the error comes again
	}
	return err
}
