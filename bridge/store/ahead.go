package store

import (
	"cmp"
	"container/heap"
)

const (
	// So many deliveries, and so many bytes of their events, are read ahead for a
	// lane.
	maxAhead      = 64
	maxAheadBytes = 64 << 10
)

// An ahead is what was read for a lane before it was asked for: to read one event
// costs nearly as much as to read many. It doubles from read to read, and a
// delivery that is not accepted empties it, so that an endpoint that is down holds
// nothing. What was read stays true, for events do not change.
type ahead struct {
	events map[int64]newest
	reach  int // how many are read
}

// take hands out what was read of an event, once.
func (a *ahead) take(num int64) (e newest, ok bool) {
	if e, ok = a.events[num]; ok {
		delete(a.events, num)
	}
	return e, ok
}

// plan returns the events to be read ahead when n have to be read anyway: what
// comes after all that is under way, and is not known. What was read before and
// not asked for goes.
func (a *ahead) plan(n int, waiting lineHeap, leased map[int64]*line, known map[int64]newest) (nums []int64) {
	a.reach, a.events = min(max(2*a.reach, n), maxAhead), nil
	var c coming
	c.wait(waiting, 0)
	for _, ln := range leased {
		c.follow(ln, 1)
	}
	bytes := 0
	for range a.reach {
		it, ok := c.next(waiting)
		if !ok {
			break
		}
		if _, ok := known[it.num]; ok {
			continue
		}
		if bytes += int(it.size); bytes > maxAheadBytes {
			break
		}
		nums = append(nums, it.num)
	}
	return nums
}

// A coming goes through what lines will bring, the earliest event first, and
// leaves their heap as it is.
type coming []turn

// A turn is one item of a line, and where the line is in its heap: -1 when those
// below it have had their turn, or when it is in none.
type turn struct {
	ln       *line
	item, at int
}

func (c *coming) wait(lines lineHeap, at int) {
	if at < len(lines) {
		heap.Push(c, turn{lines[at], 0, at})
	}
}

func (c *coming) follow(ln *line, item int) {
	if item < len(ln.items) {
		heap.Push(c, turn{ln, item, -1})
	}
}

func (c *coming) next(lines lineHeap) (it item, ok bool) {
	if len(*c) == 0 {
		return item{}, false
	}
	t := heap.Pop(c).(turn)
	c.follow(t.ln, t.item+1)
	if t.at >= 0 {
		c.wait(lines, 2*t.at+1)
		c.wait(lines, 2*t.at+2)
	}
	return t.ln.items[t.item], true
}

func (c coming) num(i int) int64    { return c[i].ln.items[c[i].item].num }
func (c coming) Len() int           { return len(c) }
func (c coming) Less(i, j int) bool { return cmp.Less(c.num(i), c.num(j)) }
func (c coming) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *coming) Push(x any)        { *c = append(*c, x.(turn)) }
func (c *coming) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}
