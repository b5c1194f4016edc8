package preset

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bridge/webhook"
)

const (
	defaultMaxBody = 256 << 10
	maxSteps       = 8   // requests for one event
	maxKept        = 512 // bytes of one value that is kept
)

// Options describe a destination.
type Options struct {
	Name   string           // of the endpoint
	Preset string           // empty: [Default]
	URL    string           // empty: the preset's
	Region string           // of a preset that has several; empty: its first
	With   map[string]Value // parameters

	// Override is what the endpoint's own table says of requests: body, content,
	// method, path, on and request, as TOML.
	Override map[string]any
	// Payload is whole (or empty), or thin: the event is replaced by what names it.
	Payload string
	// Link is where people look alarms up; the alarm's key is added to it.
	Link string

	Timeout       time.Duration // of all requests for one event together; 0: webhook.DefaultTimeout
	RetryAfterMax time.Duration // what an answer may ask for at most; 0: webhook.DefaultRetryAfterMax
}

// A Destination turns events into requests, and answers into what they mean.
type Destination struct {
	preset        *Preset
	name          string
	url           *url.URL
	plain         bool // the standard preset as it is
	with          map[string]Value
	link          string
	thin          bool
	timeout       time.Duration
	retryAfterMax time.Duration
	maxBody       int
	unsure        int // attempts after which one without an answer is the last; 0: any number

	shape    *shape
	status   statusTable
	answers  []answer
	hints    []hint
	on       map[Kind][]string
	requests map[string]*request
}

// New makes a destination. Whatever is wrong with it is a [Problem]; with only
// warnings there is a destination all the same.
func New(o Options) (*Destination, []Problem) {
	var bad problems
	name := cmp.Or(o.Preset, Default)
	if !slices.Contains(Names(), name) {
		bad.unknown([]string{"preset"}, fmt.Sprintf("there is no preset %q", name), name, "the presets are ", Names())
		return nil, bad
	}
	p, err := Find(name)
	if err != nil {
		bad.add([]string{"preset"}, err.Error(), "")
		return nil, bad
	}
	d := &Destination{
		preset: p, name: o.Name, link: o.Link, thin: o.Payload == "thin", with: map[string]Value{},
		timeout: cmp.Or(o.Timeout, webhook.DefaultTimeout), retryAfterMax: cmp.Or(o.RetryAfterMax, webhook.DefaultRetryAfterMax),
		shape: scopeShape(), status: defaultStatus(), on: map[Kind][]string{}, requests: map[string]*request{},
	}
	d.plain = name == Default && len(o.Override) == 0 && !d.thin
	d.checkPayload(o, &bad)
	d.setURL(o, &bad)
	d.setParams(o, &bad)
	table, short := d.table(o, &bad)
	d.build(table, &bad)
	if !d.plain && !slices.ContainsFunc(bad, func(p Problem) bool { return !p.Warning }) { // which has no template of its own
		d.try(&bad)
	}
	for i := range bad {
		if path := bad[i].Path; len(path) > 2 && path[0] == "request" && slices.Contains(short, path[2]) {
			bad[i].Path = path[2:] // where it is written
		}
	}
	if slices.ContainsFunc(bad, func(p Problem) bool { return !p.Warning }) {
		return nil, bad
	}
	return d, bad
}

func (d *Destination) checkPayload(o Options, bad *problems) {
	if o.Payload != "" && o.Payload != "whole" && o.Payload != "thin" {
		words := []string{"thin", "whole"}
		bad.unknown([]string{"payload"}, fmt.Sprintf("%q is none of its values", o.Payload), o.Payload, "the values are ", words)
	}
	if u, err := url.Parse(o.Link); o.Link != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		bad.add([]string{"link"}, "is no address of a page", "write https://host/path")
	}
}

// setURL chooses the endpoint's URL. That it is a good one is for
// [webhook.CheckURL] to say.
func (d *Destination) setURL(o Options, bad *problems) {
	p, at := d.preset, o.URL
	regions := slices.Sorted(maps.Keys(p.Regions))
	switch region, ok := p.Regions[o.Region]; {
	case o.Region == "":
		at = cmp.Or(at, p.URL)
	case len(regions) == 0:
		bad.add([]string{"region"}, fmt.Sprintf("preset %q has no regions", p.Name), "remove it, and write the url")
	case !ok:
		bad.unknown([]string{"region"}, fmt.Sprintf("%q is none of its values", o.Region), o.Region, "the values are ", regions)
	case o.URL != "":
		bad.add([]string{"region"}, "url says where to send already", "keep one of the two")
	default:
		at = region
	}
	if at == "" && o.Region == "" {
		remedy := `add url = "https://…"`
		if len(regions) > 0 {
			remedy = fmt.Sprintf(`add region = "%s"`, strings.Join(regions, `" or "`))
		}
		bad.add([]string{"url"}, "there is no url", remedy)
	}
	u, err := url.Parse(at)
	if err != nil {
		u = &url.URL{} // webhook.CheckURL says what is wrong with it
	}
	d.url = u
	for _, h := range p.URLHints {
		if strings.Contains(at, h.Contains) {
			*bad = append(*bad, Problem{Path: []string{"url"}, Fact: h.Fact, Remedy: h.Remedy, Warning: true})
		}
	}
}

func (d *Destination) setParams(o Options, bad *problems) {
	p := d.preset
	for _, name := range slices.Sorted(maps.Keys(o.With)) {
		path := []string{"with", name}
		q := p.param(name)
		switch {
		case q != nil:
			d.with[name] = o.With[name]
		case p.Name == Default:
			d.with[name] = o.With[name] // whoever writes a body may name its parameters
		case len(p.Params) == 0:
			bad.add(path, fmt.Sprintf("preset %q has no parameters", p.Name), "remove it")
		default:
			bad.unknown(path, fmt.Sprintf("preset %q has no parameter %q", p.Name, name), name, "its parameters are ", p.ParamNames())
		}
	}
	for _, q := range p.Params {
		if _, ok := d.with[q.Name]; ok {
			continue
		}
		if q.Required {
			value := "…"
			if q.Secret {
				value = `{ file = "secrets/NAME" }`
			}
			bad.add([]string{"with", q.Name}, fmt.Sprintf("is missing, and preset %q needs it: %s", p.Name, q.About),
				fmt.Sprintf("add with = { %s = %s }", q.Name, value))
		}
		d.with[q.Name] = Plain(q.Default)
	}
	with := &shape{fields: map[string]*shape{}}
	for name := range d.with {
		with.fields[name] = &shape{}
	}
	d.shape.fields["with"] = with
}

// table is what the preset says with what the endpoint says laid over it. The
// endpoint's body, content, method and path are those of the only request; short
// are those that are written.
func (d *Destination) table(o Options, bad *problems) (table map[string]any, short []string) {
	over := maps.Clone(o.Override)
	requests, _ := d.preset.table["request"].(map[string]any)
	for _, key := range []string{"body", "content", "method", "path"} {
		v, ok := over[key]
		if !ok {
			continue
		}
		delete(over, key)
		if len(requests) != 1 {
			names := slices.Sorted(maps.Keys(requests))
			bad.add([]string{key}, fmt.Sprintf("preset %q has several requests: %s", d.preset.Name, strings.Join(names, ", ")),
				fmt.Sprintf("write [endpoint.%s.request.%s] and %s below it", cmp.Or(o.Name, "NAME"), names[0], key))
			continue
		}
		short = append(short, key)
		for name, q := range requests {
			t := maps.Clone(q.(map[string]any))
			t[key] = v
			requests = map[string]any{name: t}
		}
	}
	base := maps.Clone(d.preset.table)
	base["request"] = requests
	return merge(base, over), short
}

// build reads what is sent and what answers mean.
func (d *Destination) build(table map[string]any, bad *problems) {
	r := newReader(table, nil, bad)
	r.with = d.parameters(true)
	r.statusTable("status", d.status)
	d.answers = r.answers("answers")
	d.maxBody = cmp.Or(r.whole("max_body"), defaultMaxBody)
	d.unsure = r.whole("unsure")
	for _, t := range r.each("retry_after") {
		d.hints = append(d.hints, hint{header: t.text("header"), path: t.jsonPath("json"), unix: t.flag("unix")})
		t.finish()
	}
	requests := r.below("request")
	known := map[string]bool{}
	for _, name := range requests.names() {
		q := d.request(name, like(requests.table, requests.below(name), bad))
		d.requests[name] = q
		for _, c := range slices.Concat(q.keep, q.take) {
			known[c.name] = true
		}
	}
	for _, name := range requests.names() {
		for _, word := range slices.Concat(d.requests[name].needs, d.requests[name].unless) {
			switch {
			case known[word]:
			case len(known) == 0:
				bad.add(under(requests.at(name), "needs"), fmt.Sprintf("no request keeps or takes %q", word), "remove it, or add keep to a request")
			default:
				bad.unknown(under(requests.at(name), "needs"), fmt.Sprintf("no request keeps or takes %q", word), word, "what is known is ", slices.Sorted(maps.Keys(known)))
			}
		}
	}
	on := r.below("on")
	for _, kind := range Kinds() {
		steps := on.texts(string(kind))
		if len(steps) > maxSteps {
			bad.add(on.at(string(kind)), "has too many requests", fmt.Sprintf("%d is the most", maxSteps))
		}
		for _, name := range steps {
			if d.requests[name] == nil {
				bad.unknown(on.at(string(kind)), fmt.Sprintf("there is no request %q", name), name, "the requests are ", requests.names())
			}
		}
		d.on[kind] = steps
	}
	on.finish()
}

// like lays a request over the one that it is like.
func like(requests map[string]any, r *reader, bad *problems) *reader {
	name := r.text("like")
	if name == "" {
		return r
	}
	base, ok := requests[name].(map[string]any)
	if !ok || base["like"] != nil {
		bad.add(r.at("like"), fmt.Sprintf("%q is no request to be like", name), "name one that is not like another itself")
		return r
	}
	table := merge(base, r.table)
	delete(table, "like")
	return r.child(table, r.path)
}

// URL is where the endpoint is.
func (d *Destination) URL() string { return d.url.String() }

// Target identifies whom is sent to, and as whom, without showing it: what an
// endpoint said when its URL or its credential was another one is not about this.
func (d *Destination) Target() string {
	h := sha256.New()
	h.Write([]byte(d.URL()))
	for _, name := range slices.Sorted(maps.Keys(d.with)) {
		fmt.Fprintf(h, "\x00%s=%v", name, d.with[name].reveal())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Shown is the URL as it may be printed: the path and the query can be secrets.
func (d *Destination) Shown() string { return d.url.Scheme + "://" + d.url.Host + "/..." }

// parameters are what templates see under .with.
func (d *Destination) parameters(reveal bool) map[string]any {
	with := make(map[string]any, len(d.with))
	for name, v := range d.with {
		with[name] = v.shown()
		if reveal {
			with[name] = v.reveal()
		}
	}
	return with
}

// Secrets are the parameters that nobody may see.
func (d *Destination) Secrets() (list []webhook.Credential) {
	for name, v := range d.with {
		if q := d.preset.param(name); v.secret != nil || q != nil && q.Secret && !v.IsZero() {
			list = append(list, webhook.NewCredential(fmt.Sprint(v.reveal())))
		}
	}
	return list
}

// Preset says which one it is.
func (d *Destination) Preset() *Preset { return d.preset }

// linkTo is where people look an alarm up, nil if that is not known.
func (d *Destination) linkTo(alarm string) any {
	if d.link == "" || alarm == "" {
		return nil
	}
	return strings.TrimSuffix(d.link, "/") + "/" + url.PathEscape(alarm)
}

// payload is the event as JSON, or what names it.
func (d *Destination) payload(n *Notice) ([]byte, error) {
	if !d.thin {
		return n.Data, nil
	}
	var e struct {
		Alarm struct {
			Key     string `json:"key"`
			Episode string `json:"episode,omitempty"`
			State   string `json:"state,omitempty"`
		} `json:"alarm"`
	}
	if err := json.Unmarshal(n.Data, &e); err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	thin := map[string]any{"id": n.ID, "type": n.Type, "at": n.At.UTC().Format(time.RFC3339Nano)}
	if n.Alarm != "" {
		thin["alarm"] = map[string]any{"key": n.Alarm, "episode": e.Alarm.Episode}
		thin["link"] = "/api/v1/alarms/" + url.PathEscape(n.Alarm)
		if link := d.linkTo(n.Alarm); link != nil {
			thin["link"] = link
		}
	}
	return json.Marshal(thin)
}
