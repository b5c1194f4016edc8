package preset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// episodeKey is the name under which it is kept which episode of its alarm what
// is kept belongs to.
const episodeKey = "episode"

// A sender makes one attempt at one request, as [webhook.Sender.Send] does.
type sender = func(context.Context, webhook.Message) webhook.Result

// Send tells the destination of one event: it makes the requests that the event
// asks for, one after the other, and stops at the first that is not accepted.
// What was kept until then is in the reply all the same, so that the next attempt
// does not begin anew what has been done.
func (d *Destination) Send(ctx context.Context, send sender, batch []Notice) Reply {
	n := &batch[0]
	if d.plain {
		return Standard(send)(ctx, batch)
	}
	if len(batch) > 1 {
		return Reply{Result: webhook.Result{Err: fmt.Errorf("preset %s takes one event a request, and not %d (remove batch)", d.preset.Name, len(batch))}}
	}
	s, err := d.scope(n, true)
	if err != nil {
		return unsent(err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.run(ctx, send, n, s)
}

// unsent is the reply when there is nothing that could be sent, and never will be.
func unsent(err error) Reply {
	return Reply{Result: webhook.Result{Verdict: webhook.Refused, Err: fmt.Errorf("nothing was sent: %w", err)}}
}

func (d *Destination) run(ctx context.Context, send sender, n *Notice, s scope) Reply {
	memory := newMemory(n, s)
	reply := Reply{Result: webhook.Result{Verdict: webhook.Accepted}} // of a kind that there is no request for
	for _, name := range d.steps(n.Type) {
		q := d.requests[name]
		wanted, err := memory.wants(q, s)
		if err == nil && !wanted {
			continue
		}
		var m webhook.Message
		if err == nil {
			m, err = d.message(q, s, n.ID)
		}
		if err != nil {
			reply.Result = unsent(fmt.Errorf("request %s: %w", name, err)).Result
			break
		}
		m.Trace = n.Trace
		r := received{Result: send(ctx, m)}
		v := d.judge(q, &r)
		if r.Unsure && d.unsure > 0 && n.Attempt+1 >= d.unsure {
			v = refused
			d.write(&r, v, "it may have been taken, and is not said again")
		}
		r.Took += reply.Took
		reply.Result = r.Result
		if v == forget {
			memory.clear()
			continue
		}
		if v == accepted && q.forget {
			memory.clear()
		}
		if v == accepted || v == retry {
			memory.learn(q, &r, s)
		}
		if v != accepted {
			break
		}
	}
	reply.Keep = memory.changes()
	return reply
}

// steps are the requests that an event asks for. A test of a destination that has
// no word for a note opens something and closes it again.
func (d *Destination) steps(t rules.Type) []string {
	kind := KindOf(t)
	if t == rules.TestPing && len(d.on[kind]) == 0 {
		return slices.Concat(d.on[Raise], d.on[Resolve])
	}
	return d.on[kind]
}

// Tells reports whether the destination has a request for events of a type.
func (d *Destination) Tells(t rules.Type) bool { return len(d.steps(t)) > 0 }

// A memory is what is known of an alarm while its requests are made.
type memory struct {
	kept    map[string]string // from one event to the next
	known   map[string]any    // the same and what was taken: what templates see
	episode string
	changed bool
}

func newMemory(n *Notice, s scope) *memory {
	alarm, _ := s["alarm"].(map[string]any)
	m := &memory{kept: map[string]string{}, known: map[string]any{}, episode: text(alarm["episode"])}
	if n.Alarm != "" { // or it is another's
		m.kept = maps.Clone(n.Kept)
	}
	if m.kept == nil {
		m.kept = map[string]string{}
	}
	if len(m.kept) > 0 && m.kept[episodeKey] != m.episode {
		m.kept, m.changed = map[string]string{}, true // its end was never told
	}
	for name, v := range m.kept {
		m.known[name] = v
	}
	s["kept"] = m.known
	return m
}

// wants reports whether a request is to be made.
func (m *memory) wants(q *request, s scope) (bool, error) {
	for _, name := range q.needs {
		if m.known[name] == nil {
			return false, nil
		}
	}
	for _, name := range q.unless {
		if m.known[name] != nil {
			return false, nil
		}
	}
	if q.when == nil {
		return true, nil
	}
	v, err := q.when.render(s)
	if err != nil {
		return false, &leafError{[]string{"when"}, err}
	}
	return v != nil && v != "" && v != false, nil
}

func (m *memory) clear() {
	m.changed = m.changed || len(m.kept) > 0
	clear(m.kept)
	clear(m.known)
}

// learn takes from an answer what is to be known.
func (m *memory) learn(q *request, r *received, s scope) {
	read := func(c capture) string {
		var v string
		switch {
		case c.answer:
			if p, err := c.path(s); err == nil {
				v = text(p.find(r.json()))
			}
		case r.Verdict == webhook.Accepted:
			v, _ = c.leaf.string(s) // it was tried when it was loaded
		}
		if len(v) > maxKept {
			return ""
		}
		return v
	}
	for _, c := range q.take {
		if v := read(c); v != "" {
			m.known[c.name] = v
		}
	}
	for _, c := range q.keep {
		if v := read(c); v != "" && m.kept[c.name] != v {
			m.kept[c.name], m.known[c.name], m.changed = v, v, true
		}
	}
}

// changes are what is to be kept from now on; nil if that is what was.
func (m *memory) changes() map[string]string {
	if !m.changed || m.episode == "" {
		return nil
	}
	if len(m.kept) > 0 {
		m.kept[episodeKey] = m.episode
	}
	return m.kept
}

// message renders a request.
func (d *Destination) message(q *request, s scope, id string) (webhook.Message, error) {
	m := webhook.Message{ID: id, Method: q.method, ContentType: q.contentType}
	if m.ContentType == "" {
		m.ContentType = contentType(q.content)
	}
	var err error
	if m.URL, err = d.requestURL(q, s); err != nil {
		return m, err
	}
	for _, h := range q.headers {
		v, err := h.leaf.string(s)
		if err != nil {
			return m, &leafError{[]string{"headers", h.name}, err}
		}
		if v == "" {
			continue
		}
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			return m, &leafError{[]string{"headers", h.name}, errors.New("contains a character that no header may carry")}
		}
		if m.Header == nil {
			m.Header = http.Header{}
		}
		m.Header.Set(h.name, v)
	}
	if q.body == nil {
		return m, nil
	}
	v, err := q.body.render(s, []string{"body"})
	if err != nil {
		return m, err
	}
	if m.Body, err = encode(q.content, v); err != nil {
		return m, &leafError{[]string{"body"}, err}
	}
	if len(m.Body) > d.maxBody {
		return m, &leafError{[]string{"body"}, fmt.Errorf("is %d bytes long, and %d are the most", len(m.Body), d.maxBody)}
	}
	return m, nil
}

// requestURL adds a request's path and query to the endpoint's URL.
func (d *Destination) requestURL(q *request, s scope) (*url.URL, error) {
	below, err := q.path.string(s)
	if err != nil {
		return nil, &leafError{[]string{"path"}, err}
	}
	u := *d.url
	if below != "" {
		for part := range strings.SplitSeq(strings.TrimSuffix(below, "/"), "/") {
			if part == "" || strings.Trim(part, ".") == "" {
				return nil, &leafError{[]string{"path"}, fmt.Errorf("the part %q is no name", part)}
			}
		}
		escaped := strings.TrimSuffix(u.EscapedPath(), "/") + "/" + below
		if u.Path, err = url.PathUnescape(escaped); err != nil {
			return nil, &leafError{[]string{"path"}, err}
		}
		u.RawPath = escaped
	}
	for _, p := range q.query {
		v, err := p.leaf.render(s)
		if err != nil {
			return nil, &leafError{[]string{"query", p.name}, err}
		}
		if v == nil {
			continue
		}
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += url.QueryEscape(p.name) + "=" + url.QueryEscape(text(v))
	}
	return &u, nil
}

// A Request is what would be sent.
type Request struct {
	Name        string // in the preset
	Method      string
	URL         string
	Header      http.Header
	ContentType string
	Body        []byte
}

// Preview returns the requests that an event would cause, none of them sent: as
// they are when the receiver finds nothing that exists already, and accepts all
// of them. Unless reveal is true, secrets and the URL behind its host are hidden.
func (d *Destination) Preview(n Notice, reveal bool) ([]Request, error) {
	if d.plain {
		r := Request{Name: "event", Method: http.MethodPost, URL: d.URL(), ContentType: contentType("json"), Body: n.Envelope()}
		if !reveal {
			r.URL = d.Shown()
		}
		return []Request{r}, nil
	}
	s, err := d.scope(&n, reveal)
	if err != nil {
		return nil, err
	}
	memory := newMemory(&n, s)
	var list []Request
	for _, name := range d.steps(n.Type) {
		q := d.requests[name]
		wanted, err := memory.wants(q, s)
		if err == nil && !wanted {
			continue
		}
		var m webhook.Message
		if err == nil {
			m, err = d.message(q, s, n.ID)
		}
		if err != nil {
			return list, fmt.Errorf("request %s: %w", name, err)
		}
		r := Request{Name: name, Method: m.Method, URL: m.URL.String(), Header: m.Header, ContentType: m.ContentType, Body: m.Body}
		if !reveal && d.preset.URLSecret {
			r.URL = d.Shown()
		}
		list = append(list, r)
		if q.search {
			continue // and found nothing
		}
		for _, c := range slices.Concat(q.keep, q.take) {
			memory.known[c.name] = "<" + c.name + ">"
		}
	}
	return list, nil
}
