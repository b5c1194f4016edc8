package preset

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Default is the preset of an endpoint that names none.
const Default = "standard"

//go:embed data/*.toml
var data embed.FS // read only

// A Preset is a destination that is known by name.
type Preset struct {
	Name      string
	Title     string
	Docs      string            // where its makers describe it
	URL       string            // "" where everybody has one of their own
	Regions   map[string]string // URLs by region
	Region    string            // that URL is of
	URLSecret bool              // who knows the URL may send to it
	Signed    bool              // a secret is needed: the receiver knows us by our signature
	Auth      string            // the endpoint needs auth, since no parameter is a credential: oauth2, or any of its ways
	Scheme    string            // the word before the token, where it is not Bearer
	Rate      float64           // requests a second to begin with; 0: no limit
	Pages     bool              // an answer may be an HTML page: it is for the receiver's makers to choose
	Params    []Param
	URLHints  []URLHint
	Unproved  []string // facts about the service that nobody has confirmed

	table map[string]any // the file
}

// A Param is what has to be configured, or can be.
type Param struct {
	Name     string
	About    string
	Secret   bool
	Required bool
	Default  any
}

// A URLHint warns of a URL that looks right and is not.
type URLHint struct{ Contains, Fact, Remedy string }

// Names lists the presets.
func Names() []string {
	files, _ := fs.Glob(data, "data/*.toml") // the pattern is a good one
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "data/"), ".toml")
	}
	slices.Sort(files)
	return files
}

// Find returns the preset of a name.
func Find(name string) (*Preset, error) {
	text, err := data.ReadFile("data/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("there is no preset %q (the presets are %s)", name, strings.Join(Names(), ", "))
	}
	p, bad := parsePreset(name, string(text))
	if len(bad) > 0 {
		return nil, fmt.Errorf("preset %s: %w", name, bad[0])
	}
	return p, nil
}

// parsePreset reads what describes a preset; its requests are read by [New].
func parsePreset(name, text string) (*Preset, problems) {
	var bad problems
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		bad.add(nil, err.Error(), "")
		return nil, bad
	}
	r := newReader(table, nil, &bad)
	p := &Preset{
		Name: name, Title: r.text("title"), Docs: r.text("docs"), URL: r.text("url"), Region: r.text("region"),
		URLSecret: r.flag("url_is_secret"), Pages: r.flag("pages"), Signed: r.flag("signed"), Auth: r.text("auth"), Scheme: r.text("scheme"), Unproved: r.texts("unproved"),
		Regions: map[string]string{}, table: table,
	}
	if rate := r.text("rate"); rate != "" {
		number, ok := strings.CutSuffix(rate, "/s")
		f, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil {
			bad.add(r.at("rate"), "is no rate", `write it as in "2/s"`)
		}
		p.Rate = f
	}
	regions := r.below("regions")
	for _, name := range regions.names() {
		p.Regions[name] = regions.text(name)
	}
	if p.Region != "" && p.URL == "" {
		p.URL = p.Regions[p.Region]
	}
	params := r.below("param")
	for _, name := range params.names() {
		t := params.below(name)
		p.Params = append(p.Params, Param{
			Name: name, About: t.text("about"), Secret: t.flag("secret"), Required: t.flag("required"), Default: t.value("default"),
		})
		t.finish()
	}
	for _, t := range r.each("url_hints") {
		p.URLHints = append(p.URLHints, URLHint{t.text("contains"), t.text("fact"), t.text("remedy")})
		t.finish()
	}
	for _, key := range machinery() {
		r.value(key)
	}
	r.finish()
	return p, bad
}

// machinery are the keys of a preset's file that say what is sent and what answers
// mean. An endpoint may write those of override itself.
func machinery() []string {
	return []string{"status", "answers", "retry_after", "on", "request", "max_body", "unsure"}
}

// param returns the parameter of a name, nil if there is none.
func (p *Preset) param(name string) *Param {
	i := slices.IndexFunc(p.Params, func(q Param) bool { return q.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Params[i]
}

// ParamNames lists the parameters.
func (p *Preset) ParamNames() []string {
	names := make([]string, len(p.Params))
	for i, q := range p.Params {
		names[i] = q.Name
	}
	return names
}

// merge lays what an endpoint writes over what its preset has: tables are merged,
// anything else takes its place.
func merge(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for key, v := range over {
		below, isTable := v.(map[string]any)
		old, wasTable := out[key].(map[string]any)
		if isTable && wasTable {
			v = merge(old, below)
		}
		out[key] = v
	}
	return out
}
