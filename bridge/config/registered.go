package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tocsin/bridge/webhook"
)

// maxRegistered bounds http.registration.max: each endpoint is a lane, and a body
// of every reload.
const maxRegistered = 10_000

// A Registered is an endpoint as it is registered over HTTP: what somebody may say of
// one who has no access to this machine. It has no key for files, variables,
// credentials, and the way out; nothing prints its secrets.
type Registered struct {
	URL      webhook.Credential // "" is the preset's; it may be what lets in
	Types    []string
	Severity []string
	Labels   map[string]string
	Preset   string
	Region   string
	Payload  string
	Link     string
	Sign     []string
	With     webhook.Credential // parameters, as an object of JSON: some are credentials
	Headers  map[string]string
	Rate     string
	Secrets  []webhook.Secret // the newest first
}

// Registered makes an endpoint of a registered one, by the same steps as of one in
// the file. What is wrong with it is said without a file; it is nil then.
func (c *Config) Registered(name string, r *Registered) (*Endpoint, Problems) {
	l := &loader{running: true, report: newReport(), config: Config{Path: c.Path, Broker: c.Broker, HTTP: c.HTTP}}
	path := []string{"endpoint", name}
	l.main = emptySource("", l.report)
	table := l.registeredTable(path, r)
	l.main.tree = map[string]any{"endpoint": map[string]any{name: table}}
	var doc struct {
		Endpoints map[string]*Endpoint `toml:"endpoint"`
	}
	decoder{source: l.main}.decode(&doc)
	e := doc.Endpoints[name]
	if e == nil {
		e = &Endpoint{} // of a name that is none, which has been reported
	}
	e.Egress = c.Registration().Egress
	for _, s := range r.Secrets {
		text := s.Reveal()
		e.Secret = append(e.Secret, SigningSecret{Secret: Secret{literal: &text}, NotAfter: endOfUse{s.NotAfter()}})
	}
	l.main.fromEnv[pathKey(under(path, "secret"))] = true // it is not written into a file
	l.checkEndpoint(path, e)
	l.report.problems.finish()
	problems := spoken(l.report.problems, name)
	if problems.Errors() > 0 {
		return nil, problems
	}
	return e, problems
}

// Registration is what holds for registered endpoints.
func (c *Config) Registration() Registration {
	if c.HTTP.Registration != nil {
		return *c.HTTP.Registration
	}
	var r Registration
	r.setDefaults()
	return r
}

// registeredTable is the endpoint as the file would have it.
func (l *loader) registeredTable(path []string, r *Registered) map[string]any {
	table := map[string]any{}
	for key, text := range map[string]string{"url": r.URL.Reveal(), "preset": r.Preset, "region": r.Region, "payload": r.Payload, "link": r.Link} {
		if text != "" {
			table[key] = text
		}
	}
	if len(r.Sign) > 0 {
		table["sign"] = anyList(r.Sign)
	}
	if r.Rate != "" {
		table["limits"] = map[string]any{"rate": r.Rate}
	}
	match := map[string]any{}
	if len(r.Types) > 0 {
		match["types"] = anyList(r.Types)
	}
	if len(r.Severity) > 0 {
		match["severity"] = anyList(r.Severity)
	}
	if len(r.Labels) > 0 {
		match["labels"] = anyMap(r.Labels)
	}
	if len(match) > 0 {
		table["match"] = match
	}
	if len(r.Headers) > 0 {
		table["headers"] = anyMap(r.Headers)
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			l.checkRegisteredHeader(under(path, "headers", name), name)
		}
	}
	if with := l.registeredParams(under(path, "with"), r.With); len(with) > 0 {
		table["with"] = with
	}
	return table
}

// registeredParams are texts, numbers, true and false: nothing that names where
// else to read.
func (l *loader) registeredParams(path []string, written webhook.Credential) map[string]any {
	if written.IsZero() {
		return nil
	}
	params, err := decodeObject(written.Reveal())
	if err != nil {
		l.main.atValue(path, "is no object of JSON", `write {"name": "value"}`)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		at := under(path, name)
		l.main.fromEnv[pathKey(at)] = true
		switch value := params[name].(type) {
		case string, bool:
		case float64:
			if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
				params[name] = int64(value)
			}
		default:
			l.main.atValue(at, "is neither a text nor a number, true or false", "write the value itself: nothing is read for it from files and variables")
			delete(params, name)
		}
	}
	return params
}

// checkRegisteredHeader lets pass what a receiver may want to know, and nothing that
// says who we are, or what a proxy in between goes by.
func (l *loader) checkRegisteredHeader(path []string, name string) {
	lower := strings.ToLower(name)
	routing := func(prefix string) bool { return strings.HasPrefix(lower, prefix) }
	switch {
	case !strings.HasPrefix(lower, "x-"):
		l.main.atValue(path, fmt.Sprintf("the header %s cannot be registered", quote(name)), "name it X-…, or have the operator write the endpoint into the configuration")
	case slices.ContainsFunc([]string{"x-forwarded", "x-real-", "x-original-", "x-rewrite-", "x-http-method", "x-method-", "x-host"}, routing):
		l.main.atValue(path, fmt.Sprintf("the header %s tells servers where a request comes from or goes to", quote(name)), "remove it")
	case secretKey(name):
		l.main.atValue(path, fmt.Sprintf("the header %s is called like a credential, and headers are not kept secret", quote(name)),
			"have the operator write the endpoint into the configuration, with auth")
	}
}

// spoken are problems of a registered endpoint in the words of whoever registers it.
func spoken(problems Problems, name string) Problems {
	place := placeName([]string{"endpoint", name})
	words := strings.NewReplacer("egress.", "http.registration.egress.", "egress = ", "http.registration.egress = ")
	for i := range problems {
		p := &problems[i]
		p.File, p.Line, p.Column, p.Excerpt = "", 0, 0, ""
		p.Place = strings.TrimSpace(strings.TrimPrefix(p.Place, place))
		for _, table := range []string{"match.", "limits."} {
			p.Place = strings.TrimPrefix(p.Place, table)
		}
		p.Fact, p.Remedy = words.Replace(p.Fact), words.Replace(p.Remedy)
		switch {
		case strings.HasPrefix(p.Place, "auth"), strings.HasPrefix(p.Fact, "auth "):
			p.Remedy = "have the operator write the endpoint into the configuration, with auth"
		case strings.Contains(p.Remedy, "{ file ="), strings.Contains(p.Remedy, "{ env ="):
			p.Remedy = "write the value itself"
		}
	}
	return problems
}

// Unplaced is the problem in one line, without its file.
func (p Problem) Unplaced() string {
	text := p.Fact
	if p.Place != "" {
		text = p.Place + ": " + text
	}
	if p.Remedy != "" {
		text += " (" + p.Remedy + ")"
	}
	return text
}

// noteEndpoints notes where endpoints are written.
func (l *loader) noteEndpoints() {
	l.config.lines = make(map[string]int, len(l.config.Endpoints))
	for name := range l.config.Endpoints {
		l.config.lines[name], _ = l.main.position(l.main.find([]string{"endpoint", name}).key.start)
	}
}

// Place is where an endpoint is written, as file:line; "" where it is not.
func (c *Config) Place(endpoint string) string {
	if line, ok := c.lines[endpoint]; ok {
		return fmt.Sprintf("%s:%d", c.Path, line)
	}
	return ""
}

// Taken are the problems of endpoints in the file whose names are those of
// registered ones: what is owed to a name would go to another.
func (c *Config) Taken(registered func(name string) bool) (problems Problems) {
	for _, name := range slices.Sorted(maps.Keys(c.Endpoints)) {
		if registered(name) {
			problems = append(problems, Problem{
				File: c.Path, Line: c.lines[name], Column: 1, Place: placeName([]string{"endpoint", name}),
				Fact:   "an endpoint of this name was registered over HTTP, and both would be owed the same",
				Remedy: "name this one otherwise, or remove that one first: tocsin endpoints remove " + name,
			})
		}
	}
	return problems
}

// NeedsSecret reports whether a registered endpoint signs what it is sent.
func (r *Registered) NeedsSecret() bool { return len(r.Sign) > 0 || wantsSignature(r.Preset) }

// HasParameters reports whether it was given parameters of its preset, of which some
// are credentials.
func (r *Registered) HasParameters() bool {
	params, err := decodeObject(r.With.Reveal())
	return err != nil && !r.With.IsZero() || len(params) > 0
}

// Rotated has a new secret sign, and those there are until a time as well. Of these
// the newest few are kept: a request carries a signature of each.
func (r *Registered) Rotated(secret webhook.Secret, until time.Time) {
	const most = 4
	kept := []webhook.Secret{secret}
	for _, old := range r.Secrets {
		if end := old.NotAfter(); end.IsZero() || end.After(until) {
			old = old.Until(until)
		}
		if time.Now().Before(old.NotAfter()) && len(kept) < most {
			kept = append(kept, old)
		}
	}
	r.Secrets = kept
}

func anyList(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

func anyMap(texts map[string]string) map[string]any {
	m := make(map[string]any, len(texts))
	for key, text := range texts {
		m[key] = text
	}
	return m
}
