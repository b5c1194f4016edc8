package config

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A Raw is a value whose meaning is not for this package to say.
type Raw struct{ Value any }

// A Param is a parameter of a preset: a text, a number, true or false, or a
// secret by reference.
type Param struct {
	Secret
	plain any // a number, true or false
}

// freeForm decodes what may be of several types. It reports false for any other
// target.
func (d decoder) freeForm(value, target any) bool {
	switch target := target.(type) {
	case *Raw:
		target.Value = value
		return true
	case *Param:
		switch value.(type) {
		case int64, float64, bool:
			target.plain = value
			return true
		}
	}
	return false
}

// Destination is what preset.New wants to know of an endpoint.
func (e *Endpoint) Destination(name string) preset.Options {
	o := preset.Options{
		Name: name, Preset: e.Preset, URL: e.URL, Region: e.Region, Payload: e.Payload, Link: e.Link,
		With: make(map[string]preset.Value, len(e.With)), Override: map[string]any{},
		Timeout: e.Limits.Timeout, RetryAfterMax: e.Retry.RetryAfterMax,
	}
	for name, p := range e.With {
		switch {
		case p.plain != nil:
			o.With[name] = preset.Plain(p.plain)
		case p.literal != nil && !p.hidden():
			o.With[name] = preset.Plain(*p.literal)
		default:
			o.With[name] = preset.Hidden(p.Reveal())
		}
	}
	for key, raw := range map[string]Raw{"body": e.Body, "on": e.On, "request": e.Request} {
		if raw.Value != nil {
			o.Override[key] = raw.Value
		}
	}
	for key, text := range map[string]string{"content": e.Content, "method": e.Method, "path": e.PathBelow} {
		if text != "" {
			o.Override[key] = text
		}
	}
	return o
}

// hidden reports whether a parameter was read as a secret.
func (p *Param) hidden() bool { return p.IsSet() }

// checkDestination checks everything of an endpoint that its preset decides.
func (l *loader) checkDestination(path []string, e *Endpoint) {
	if e.URL != "" {
		if _, err := webhook.CheckURL(e.URL, e.Egress.AllowHTTP); err != nil {
			fact, _ := splitError(err)
			_, again := webhook.CheckURL(e.URL, true)
			if all := plainly(e.URL); again == nil && all != "" {
				l.main.atValue(under(path, "url"), fact, all)
			} else {
				l.main.leaf(under(path, "url"), err, "write https://host/path")
			}
		}
	}
	known, _ := preset.Find(e.Preset) // New says what is wrong with the name
	for _, name := range slices.Sorted(maps.Keys(e.With)) {
		p := e.With[name]
		secret := p.Env != "" || p.File != ""
		if known != nil && !secret {
			i := slices.IndexFunc(known.Params, func(q preset.Param) bool { return q.Name == name })
			secret = i >= 0 && known.Params[i].Secret
		}
		at := under(path, "with", name)
		switch {
		case p.plain != nil || !secret && p.literal != nil:
		case !p.written():
			l.main.atValue(at, "is empty", `write a text, { file = "PATH" } or { env = "NAME" }`)
		default:
			l.secret(at, &p.Secret)
		}
	}
	if known != nil {
		l.checkCredential(path, e, known)
	}
	told, problems := preset.New(e.Destination(path[1]))
	if told != nil {
		l.checkTold(path, e, told)
	}
	for _, p := range problems {
		at := under(path, p.Path...)
		remedy := p.Remedy
		if p.Known != nil {
			remedy = suggest(p.Name, p.Known, p.Remedy)
		}
		if l.main.undecoded(at) {
			continue
		}
		if p.Warning {
			l.main.warnValue(at, p.Fact, remedy)
		} else {
			l.main.atValue(at, p.Fact, remedy)
		}
	}
}

// checkTold reports what an endpoint wants to be told of and has no request for.
func (l *loader) checkTold(path []string, e *Endpoint, told *preset.Destination) {
	for _, want := range []struct {
		key     string
		written bool
		typ     rules.Type
	}{{"sync", e.Sync, rules.AlarmSync}, {"heartbeat", e.Heartbeat != 0, rules.Heartbeat}, {"outage_digest", e.OutageDigest != 0, rules.EndpointDigest}} {
		if want.written && !told.Tells(want.typ) {
			l.main.atValue(under(path, want.key), fmt.Sprintf("this endpoint has no request for %s, so it would never be sent", want.typ),
				fmt.Sprintf("remove %s, or say by on = { note = [\"NAME\"] } which request tells it", want.key))
		}
	}
}

// checkCredential reports that an endpoint has no auth although its preset lives
// by it.
func (l *loader) checkCredential(path []string, e *Endpoint, p *preset.Preset) {
	at := under(path, "auth")
	some := e.Auth.Basic != nil || e.Auth.Bearer.written() || e.Auth.Header != nil || e.Auth.OAuth2 != nil || e.TLS.Cert != ""
	switch {
	case p.Auth == "" || l.main.undecoded(at):
	case p.Auth == "oauth2" && e.Auth.OAuth2 == nil:
		l.main.atValue(at, fmt.Sprintf("gives no access token, and preset %q needs one", p.Name),
			`add auth = { oauth2 = { token_url = "https://…", client_id = "…", client_secret = { file = "secrets/NAME" } } }`)
	case p.Scheme != "" && e.Auth.OAuth2.Scheme != p.Scheme:
		l.main.atValue(under(at, "oauth2", "scheme"), fmt.Sprintf("must be %q for preset %q", p.Scheme, p.Name), fmt.Sprintf("write scheme = %q", p.Scheme))
	case !some:
		l.main.atValue(at, fmt.Sprintf("is missing, and preset %q needs a credential", p.Name),
			`add auth = { basic = { user = "…", password = { file = "secrets/NAME" } } }`)
	}
}
