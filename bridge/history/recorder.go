package history

import (
	"errors"
	"fmt"
	"io"

	"tocsin/rules"
)

// A Recorder writes inputs as one segment: a file for [ReplayFile]. It belongs to
// one goroutine at a time.
type Recorder struct {
	w       io.Writer
	packer  *packer
	encoder *encoder
	first   uint64
	next    uint64
	err     error
}

// NewRecorder begins a segment on w, which it writes to a block at a time.
func NewRecorder(w io.Writer) (*Recorder, error) {
	p, err := newPacker()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Recorder{w: w, packer: p, encoder: newEncoder()}, nil
}

// ErrTooLarge is an input that is too large to be kept. Nothing was written, and
// recording can go on.
var ErrTooLarge = errors.New("recording: the input has more than 1 MiB")

// Record takes an input in. After an error other than [ErrTooLarge] the recorder
// is of no more use.
func (r *Recorder) Record(in rules.Input) error {
	if r.err != nil {
		return r.err
	}
	if isTick(&in) {
		return nil
	}
	if !r.encoder.add(&in) {
		if err := r.Flush(); err != nil {
			return err
		}
		return ErrTooLarge
	}
	r.next++
	if r.encoder.full() {
		return r.Flush()
	}
	return nil
}

// Flush writes what was recorded, as a block of its own. The last call comes
// before w is closed.
func (r *Recorder) Flush() error {
	if r.err != nil {
		return r.err
	}
	// Tables are begun anew even when there is nothing to write.
	payload, b := r.encoder.buf, r.encoder.blk
	if len(payload) > 0 {
		if _, err := r.w.Write(r.packer.pack(r.first, b, payload)); err != nil {
			r.err = fmt.Errorf("recording: %w", err)
			return r.err
		}
	}
	r.encoder.begin(payload)
	r.first = r.next
	return nil
}
