package preset

import (
	"net/http"
	"slices"
	"strings"
)

// A request is one HTTP request of a destination, as a template.
type request struct {
	name        string
	method      string
	path        *leaf // added to the endpoint's URL
	query       []part
	headers     []part
	body        *node
	content     string
	contentType string
	when        *leaf     // it is made when this comes to something
	needs       []string  // and all of these are known
	unless      []string  // and none of these
	keep        []capture // from one event of an alarm to the next
	take        []capture // for this event's other requests only
	search      bool      // it only asks what there is
	forget      bool      // when accepted, what was kept of the alarm is not needed any more
	success     *answer   // beyond the status
	answers     []answer
}

// A part is a named template of a query or of the headers.
type part struct {
	name string
	leaf *leaf
}

// A capture is a value that is to be known under a name: one of an answer, whose
// path may name what the event says, or with a template one of what was sent.
type capture struct {
	name   string
	leaf   *leaf // a path, if it is of the answer
	answer bool
}

// path is where in an answer the value is.
func (c *capture) path(s scope) (jsonPath, error) {
	text, err := c.leaf.string(s)
	if err != nil {
		return nil, err
	}
	return parsePath(text)
}

// request reads the table of a request.
func (d *Destination) request(name string, r *reader) *request {
	q := &request{
		name: name, method: http.MethodPost, content: "json",
		needs: r.texts("needs"), unless: r.texts("unless"), forget: r.flag("forget"), search: r.flag("search"),
		answers: r.answers("answers"), contentType: r.text("content_type"),
	}
	if m := r.text("method"); m != "" && r.oneOf("method", m, []string{"DELETE", "GET", "PATCH", "POST", "PUT"}) {
		q.method = m
	}
	if c := r.text("content"); c != "" && r.oneOf("content", c, contents()) {
		q.content = c
	}
	if r.table["success"] != nil {
		a := r.below("success").answer()
		q.success = &a
	}
	if r.value("when") != nil {
		q.when = d.leaf(r, "when", nil)
	}
	q.keep, q.take = d.captures(r, "keep"), d.captures(r, "take")
	q.path = d.leaf(r, "path", pathPart)
	d.checkPath(q, r)
	q.query = d.parts(r, "query", nil)
	q.headers = d.parts(r, "headers", nil)
	for i, h := range q.headers {
		q.headers[i].name = http.CanonicalHeaderKey(h.name)
		h.leaf.dialect = headerPart
		if strings.HasPrefix(q.headers[i].name, "Ce-") {
			h.leaf.dialect = eventPart
		}
	}
	t := treeReader{shape: d.shape, bad: r.bad, markup: map[string]dialect{}, limits: map[string]int{}}
	markup := r.below("markup")
	for _, below := range markup.names() {
		if word := markup.text(below); markup.oneOf(below, word, dialectNames()) {
			t.markup[strings.TrimPrefix(below, ".")] = findDialect(word)
		}
	}
	limits := r.below("limits")
	for _, below := range limits.names() {
		t.limits[below] = limits.whole(below)
	}
	if body := r.value("body"); body != nil {
		q.body = t.read(body, r.at("body"), []string{})
	} else if q.content == "json" {
		q.content = "none"
	}
	r.finish()
	return q
}

func (d *Destination) leaf(r *reader, key string, in dialect) *leaf {
	t := treeReader{shape: d.shape, bad: r.bad}
	l := t.leaf(r.text(key), r.at(key), nil)
	l.dialect = in
	return l
}

func (d *Destination) parts(r *reader, key string, in dialect) []part {
	table := r.below(key)
	var parts []part
	for _, name := range table.names() {
		parts = append(parts, part{name, d.leaf(table, name, in)})
	}
	return parts
}

// captures reads a table of paths and of templates.
func (d *Destination) captures(r *reader, key string) []capture {
	table := r.below(key)
	var list []capture
	for _, name := range table.names() {
		c := capture{name: name, leaf: d.leaf(table, name, nil), answer: strings.HasPrefix(table.text(name), "$")}
		if c.answer && c.leaf.template == nil {
			table.jsonPath(name) // it says what is wrong with it
		}
		list = append(list, c)
	}
	return list
}

// checkPath refuses a path that leaves the endpoint's URL, and a URL that has the
// path already.
func (d *Destination) checkPath(q *request, r *reader) {
	s := r.text("path")
	if strings.ContainsAny(s, "?#\\") || strings.Contains("/"+s, "//") || slices.Contains(strings.Split(s, "/"), "..") {
		r.bad.add(r.at("path"), "is no path below the endpoint's url", `write it as in "api/v2/alerts"; a query goes into query = { name = "value" }`)
	}
}
