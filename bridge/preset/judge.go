package preset

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge/webhook"
)

// A verdict is what an answer means, one word in a preset's file.
type verdict string

const (
	accepted verdict = "accepted" // it has been told
	retry    verdict = "retry"    // not now, perhaps later
	refused  verdict = "refused"  // it will never take this message
	disable  verdict = "disable"  // it wants nothing more from this endpoint
	forget   verdict = "forget"   // what was kept of the alarm is void: go on without
)

func verdicts() []string { return []string{"accepted", "retry", "refused", "disable", "forget"} }

// A statusTable says by status what an answer means, where nothing more special does.
type statusTable map[int]verdict // 2, 3, 4, 5 stand for their hundreds

// defaultStatus is what all destinations have in common. What is wrong with one
// message is refused, so that it does not hold up what follows it. What is wrong
// with the credential, the address or the service concerns all messages: it is
// tried again, for it is mended within the hour or the breaker spares it.
func defaultStatus() statusTable {
	t := statusTable{2: accepted, 3: retry, 4: retry, 5: retry, http.StatusGone: disable}
	for _, s := range []int{408, 425, 429} {
		t[s] = retry // whatever is said of 4xx
	}
	for _, s := range []int{400, 405, 406, 411, 413, 414, 415, 422, 431} {
		t[s] = refused
	}
	return t
}

func (t statusTable) of(status int) verdict {
	if v, ok := t[status]; ok {
		return v
	}
	if v, ok := t[status/100]; ok {
		return v
	}
	return retry
}

// A rule about answers is an exception to the status table.
type answer struct {
	status   []int // any of them; hundreds as in statusTable; empty: any status
	equals   string
	contains string
	path     jsonPath // with is: the value it leads to is this
	is       any
	exists   bool // with path: it leads to something
	then     verdict
	wait     time.Duration // for which nothing more is sent
	because  string        // in words, for the error
}

func (a *answer) matches(r *received) bool {
	if len(a.status) > 0 && !slices.Contains(a.status, r.Status) && !slices.Contains(a.status, r.Status/100) {
		return false
	}
	if a.equals != "" && strings.TrimSpace(string(r.Body)) != a.equals {
		return false
	}
	if a.contains != "" && !strings.Contains(string(r.Body), a.contains) {
		return false
	}
	if a.path == nil {
		return true
	}
	v := a.path.find(r.json())
	if a.exists {
		return v != nil
	}
	return v != nil && text(v) == text(a.is)
}

// A hint says where an answer tells how long to wait.
type hint struct {
	header string
	path   jsonPath
	unix   bool // a point in time, in seconds since 1970; otherwise seconds from now
}

// received is an answer with its body parsed once.
type received struct {
	webhook.Result
	parsed bool
	value  any
}

func (r *received) json() any {
	if !r.parsed {
		r.parsed, r.value = true, parseAnswer(r.Body)
	}
	return r.value
}

// judge says what the answer to a request means.
func (d *Destination) judge(q *request, r *received) verdict {
	if r.Status == 0 {
		return retry
	}
	v, because := d.status.of(r.Status), ""
	var wait time.Duration
	if v == accepted && q.success != nil && !q.success.matches(r) {
		v, because = retry, cmp.Or(q.success.because, "the answer does not say that it was accepted")
	}
	switch {
	case v != accepted || r.Status == http.StatusNoContent:
	case !d.preset.Pages && isPage(r.Body):
		v, because = retry, "a page for people: a login, or a proxy's"
	case q.search && !isTree(r.json()):
		v, because = retry, "that is no answer to a search"
	}
	for _, list := range [][]answer{q.answers, d.answers} {
		i := slices.IndexFunc(list, func(a answer) bool { return a.matches(r) })
		if i >= 0 {
			v, because, wait = list[i].then, list[i].because, list[i].wait
			break
		}
	}
	d.write(r, v, because)
	if v == retry {
		for _, h := range d.hints {
			wait = max(wait, h.read(r, time.Now()))
		}
		r.RetryAfter = min(max(r.RetryAfter, wait), d.retryAfterMax)
	}
	return v
}

// isPage reports whether an answer is a page of HTML. Its content type does not
// tell: there are services that call a plain word text/html.
func isPage(body []byte) bool {
	rest := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	for {
		end := ""
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(rest, []byte("<?xml")):
			end = "?>"
		}
		if end == "" {
			break
		}
		_, after, closed := bytes.Cut(rest, []byte(end))
		if !closed {
			return false
		}
		rest = bytes.TrimSpace(after)
	}
	start := strings.ToLower(string(rest[:min(len(rest), len("<!doctype html"))]))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

// isTree reports whether an answer has anything to find in it.
func isTree(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// write puts a verdict into the result that the bridge sees.
func (d *Destination) write(r *received, v verdict, because string) {
	if v == accepted || v == forget {
		r.Verdict, r.Err, r.RetryAfter = webhook.Accepted, nil, 0
		return
	}
	switch v {
	case refused:
		r.Verdict = webhook.Refused
	case disable:
		r.Verdict = webhook.Gone
	default:
		r.Verdict = webhook.Retry
	}
	switch {
	case r.Err == nil && because == "":
		because = "that is not what accepts a message"
		fallthrough
	case r.Err == nil:
		r.Err = fmt.Errorf("%s: answered %d: %s", d.Shown(), r.Status, because)
	case because != "":
		r.Err = fmt.Errorf("%w: %s", r.Err, because)
	}
}

// read returns how long the hint asks to wait.
func (h *hint) read(r *received, now time.Time) time.Duration {
	var said string
	if h.path != nil {
		said = text(h.path.find(r.json()))
	} else {
		said = r.Header.Get(h.header)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(said), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(seconds) {
		return 0
	}
	if h.unix {
		seconds -= float64(now.UnixMilli()) / 1000
	}
	switch {
	case seconds <= 0:
		return 0
	case seconds > (365 * 24 * time.Hour).Seconds():
		return 365 * 24 * time.Hour // the endpoint's longest wait is far below
	}
	return time.Duration(seconds * float64(time.Second))
}
