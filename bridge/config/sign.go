package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// A SigningSecret is a secret that messages are signed with, perhaps for a time.
type SigningSecret struct {
	Secret
	NotAfter endOfUse `toml:"not_after"` // it signs nothing after; zero: for ever
}

// SecretList is one secret or several, the newest first.
type SecretList []SigningSecret

func (SecretList) acceptsOne() {}

// An endOfUse is a moment, written as a date of TOML with its offset.
type endOfUse struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler, for what is written in quotes.
func (e *endOfUse) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("%q is no moment (%s)", b, momentForm)
	}
	e.Time = t
	return nil
}

// setTime takes a date of TOML.
func (e *endOfUse) setTime(t time.Time) error {
	if strings.HasSuffix(t.Location().String(), "-local") { // so the library marks what has no offset
		return fmt.Errorf("is a time without an offset, which is another moment on every machine (%s)", momentForm)
	}
	e.Time = t
	return nil
}

const momentForm = "write the date, the time and the offset, as in 2026-09-01T00:00:00Z"

// checkSigning reads what an endpoint's requests are signed with, and how.
func (l *loader) checkSigning(path []string, e *Endpoint) {
	at := func(key ...string) []string { return under(path, key...) }
	schemes := l.schemes(at("sign"), e.Sign)
	textOnly := len(schemes) > 0 && !slices.ContainsFunc(schemes, func(s webhook.Scheme) bool {
		return s != webhook.GitHub && s != webhook.Stripe
	})
	var unread bool // whether there is something to sign with is not known
	secret := l.signing(at("secret"), e.Secret, func(text string, until time.Time) error {
		parse := webhook.ParseSecret
		if textOnly {
			parse = webhook.TextSecret
		}
		s, err := parse(text)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(e.Secrets, s.Equal) {
			return errors.New("the secret is in the list twice (remove one of them)")
		}
		e.Secrets = append(e.Secrets, s.Until(until))
		return nil
	}, &unread)
	key := l.signing(at("key"), e.Key, func(text string, until time.Time) error {
		k, err := webhook.ParsePrivateKey(text)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(e.Keys, k.Equal) {
			return errors.New("the key is in the list twice (remove one of them)")
		}
		e.Keys = append(e.Keys, k.Until(until))
		return nil
	}, &unread)
	switch {
	case l.main.undecoded(at("sign")), l.main.undecoded(at("secret")), l.main.undecoded(at("key")):
		return
	case !secret && !key && e.Sign == nil && !wantsSignature(e.Preset):
		return // the service knows us by another credential
	case !secret && !key:
		if host, preset := presetFor(e.URL); preset != "" {
			l.main.atValue(at("secret"), "there is no secret to sign with", fmt.Sprintf("add preset = %q, which needs none: %s takes a form of its own", preset, host))
			return
		}
		l.main.atValue(at("secret"), "there is no secret to sign with", `make one with: tocsin keygen, and add secret = { file = "secrets/NAME" }`)
		return
	case e.Sign == nil:
		schemes = webhook.DefaultSchemes(secret, key)
	}
	e.Schemes = schemes
	l.checkUse(path, e, secret, key, unread)
}

// wantsSignature reports whether a preset's receivers verify signatures.
func wantsSignature(name string) bool {
	p, err := preset.Find(name)
	return err != nil || p.Signed
}

func (l *loader) schemes(path []string, sign OneOrMore) []webhook.Scheme {
	if sign != nil && len(sign) == 0 && !l.main.undecoded(path) {
		l.main.atValue(path, "sign is empty", `use sign = "standard"`)
	}
	known := webhook.Schemes()
	var schemes []webhook.Scheme
	for i, name := range sign {
		at := under(path, strconv.Itoa(i))
		if _, ok := l.main.places[pathKey(at)]; !ok {
			at = path // one scheme, not a list
		}
		s := webhook.Scheme(name)
		switch {
		case !slices.Contains(known, s):
			names := make([]string, len(known))
			for i, k := range known {
				names[i] = string(k)
			}
			l.main.atValue(at, fmt.Sprintf("%q is no way to sign", name), suggest(name, names, "the ways are "))
		case slices.Contains(schemes, s):
			l.main.atValue(at, fmt.Sprintf("%q is in the list twice", name), "remove one of them")
		default:
			schemes = append(schemes, s)
		}
	}
	return schemes
}

// signing reads the secrets or keys of a list and says whether there are any.
// unread becomes true when there is one that was not read, or was found faulty.
func (l *loader) signing(path []string, list SecretList, add func(text string, until time.Time) error, unread *bool) bool {
	kind, now, ended := path[len(path)-1], time.Now(), 0
	remedy := "make one with: tocsin keygen"
	if kind == "key" {
		remedy += " --type ed25519"
	}
	for i := range list {
		at := under(path, strconv.Itoa(i))
		if _, ok := l.main.places[pathKey(at)]; !ok {
			at = path // one, not a list
		}
		s := &list[i]
		if !s.written() {
			*unread = true
			if !l.main.undecoded(at) {
				l.main.atValue(at, "the "+kind+" is empty", `write { file = "PATH" } or { env = "NAME" }`)
			}
			continue
		}
		if end := s.NotAfter.Time; !end.IsZero() && now.After(end) {
			ended++
			if ended < len(list) {
				l.main.warnValue(under(at, "not_after"), "the "+kind+" has expired and signs nothing any more", "remove it from the list")
			}
		}
		if !l.secret(at, &s.Secret) {
			*unread = true
			continue
		}
		if err := add(s.Reveal(), s.NotAfter.Time); err != nil {
			*unread = true
			l.main.leaf(at, err, remedy)
		}
	}
	if ended > 0 && ended == len(list) {
		report := l.main.atValue
		if l.running {
			report = l.main.warnValue
		}
		report(path, "every "+kind+" has expired, and nothing is sent unsigned", remedy+", and put it first in the list")
	}
	return len(list) > 0
}

// checkUse reports schemes that lack what they sign with, and what no scheme uses.
func (l *loader) checkUse(path []string, e *Endpoint, secret, key, unread bool) {
	uses := func(schemes ...webhook.Scheme) bool {
		return slices.ContainsFunc(e.Schemes, func(s webhook.Scheme) bool { return slices.Contains(schemes, s) })
	}
	hint := func(kind string, schemes ...webhook.Scheme) (string, string) {
		return fmt.Sprintf("nothing is signed with the %s: sign does not ask for it", kind), fmt.Sprintf("remove it, or add %q to sign", schemes[0])
	}
	if secret && !uses(webhook.Standard, webhook.GitHub, webhook.Stripe, webhook.RFC9421) {
		fact, remedy := hint("secret", webhook.Standard)
		l.main.warnValue(under(path, "secret"), fact, remedy)
	}
	if key && !uses(webhook.Ed25519, webhook.RFC9421) {
		fact, remedy := hint("key", webhook.Ed25519)
		l.main.warnValue(under(path, "key"), fact, remedy)
	}
	if unread {
		return
	}
	for _, s := range e.Schemes {
		if err := s.Check(e.Secrets, e.Keys); err != nil {
			l.main.leaf(under(path, "sign"), err, "make one with: tocsin keygen")
		}
	}
}
