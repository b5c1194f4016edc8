package window

// folds make summing up a window cost a thirty-second of its readings instead of
// all, while the sums stay a function of the readings alone: nothing is ever taken
// away from a sum.
//
// Time is cut into slots of a thirty-second of the window, and into epochs of 32
// slots. Of the present epoch the sums only grow. Of the one before, there is a
// sum for each slot and all that follow it, so that slots can leave; the readings
// of the slot that is leaving just now are added up one by one. This is the queue
// made of two stacks, with the places to cut taken from the clock so that they do
// not depend on what happened when.
type folds struct {
	epoch int64     // the slot that the present epoch begins with
	tails []moments // tails[i]: the last i+1 slots before the epoch; empty: nothing is known
	head  moments   // of the epoch
}

const fewToSum = 128 // below, adding up is quicker

// forget makes the next sum start anew.
func (f *folds) forget() { f.tails = f.tails[:0] }

// sum adds up what is held.
func (f *folds) sum(held []reading, over int64) (m moments) {
	if len(held) < fewToSum {
		m.addAll(held)
		return m
	}
	width := over/parts + 1
	epoch := floor(floor(held[len(held)-1].at, width), parts) * parts
	oldest := floor(held[0].at, width)
	if oldest >= epoch || oldest < epoch-parts-1 {
		m.addAll(held)
		return m
	}
	begin := after(held, epoch*width-1)
	if f.epoch != epoch || len(f.tails) == 0 {
		f.epoch, f.head = epoch, moments{}
		f.fold(held[:begin], width, oldest)
	}
	f.head.addAll(held[begin+f.head.n:])
	m.addAll(held[:after(held[:begin], (oldest+1)*width-1)])
	if rest := int(epoch - oldest - 1); rest > 0 {
		m.merge(&f.tails[rest-1])
	}
	m.merge(&f.head)
	return m
}

// fold sums up the readings of before the epoch, from the oldest slot on.
func (f *folds) fold(held []reading, width, oldest int64) {
	f.tails = f.tails[:0]
	for slot := f.epoch - 1; slot >= oldest; slot-- {
		i := after(held, slot*width-1)
		var m moments
		m.addAll(held[i:])
		held = held[:i]
		if n := len(f.tails); n > 0 {
			m.merge(&f.tails[n-1])
		}
		f.tails = append(f.tails, m)
	}
}
