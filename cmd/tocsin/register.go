package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// registrar is what the HTTP server does about endpoints.
func (r *reloader) registrar() api.Registrar {
	return api.Registrar{Facts: r.facts, Register: r.register, Change: r.change, Rotate: r.rotate, Remove: r.remove}
}

func declined(status int, format string, args ...any) error {
	return &api.Declined{Status: status, Text: fmt.Sprintf(format, args...)}
}

// register keeps an endpoint, and tells it from then on. It is on disk when the
// answer says so.
func (r *reloader) register(ctx context.Context, by string, in *api.Registering) (done api.Registered, err error) {
	m := &member{name: in.Name, words: &config.Registered{}, registration: registration{By: by, At: time.Now().UTC(), Version: 1}}
	if done.Said, err = m.take(&in.EndpointWords); err != nil {
		return done, err
	}
	if done.Name = m.name; m.name == "" {
		m.name = nameFor(m.words)
		done.Name = m.name
	}
	if done.Secret, err = m.sign(in.Secret.Credential); err != nil {
		return done, err
	}
	if err := r.mayRegister(ctx, m.name); err != nil { // before anything is sent
		return done, err
	}
	if m.Verified, err = r.prove(ctx, m, in.Verify != nil && *in.Verify); err != nil {
		return done, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mayRegister(ctx, m.name); err != nil {
		return done, err
	}
	if err := r.install(ctx, m); err != nil {
		return done, err
	}
	r.log.Info("endpoint registered", "endpoint", m.name, "who", by)
	return done, r.start(ctx, m.name)
}

// mayRegister declines a name that is another's, and one endpoint too many.
func (r *reloader) mayRegister(ctx context.Context, name string) error {
	roll := r.roll.Load()
	if place := roll.config.Place(name); place != "" {
		return declined(http.StatusConflict, "name: the configuration has an endpoint %s at %s (choose another name, or change it there)", name, place)
	}
	if roll.members.has(name) {
		return declined(http.StatusConflict, "name: there is an endpoint %s (change it by PATCH, or choose another name)", name)
	}
	switch most := roll.config.Registration().Max; {
	case most == 0:
		return declined(http.StatusConflict, "endpoints are not registered here (have the operator write it into the configuration, or raise http.registration.max)")
	case len(roll.members) >= most:
		return declined(http.StatusConflict, "%s registered, which is the most (remove some, or raise http.registration.max)", count(len(roll.members), "endpoint"))
	}
	backlog, err := r.bridge.Backlog(ctx, name)
	if err != nil {
		return err
	}
	if backlog.Count > 0 { // it would be sent what was meant for another
		return declined(http.StatusConflict, "name: a former endpoint %s is owed %s (discard them: tocsin endpoints discard %[1]s, or choose another name)",
			name, count(backlog.Count, "delivery"))
	}
	return nil
}

// install has the bridge go by a member, once it is on disk. The caller holds mu.
func (r *reloader) install(ctx context.Context, m *member) error {
	was := r.roll.Load()
	if _, err := m.endpoint(was.config); err != nil { // the configuration may have changed meanwhile
		return declined(http.StatusUnprocessableEntity, "%v", err)
	}
	if err := m.keep(ctx, r.registry); err != nil {
		return err
	}
	diff, err := r.turn(ctx, was.config, was.members.with(m))
	if err == nil || !diff.Empty() {
		return err
	}
	// What is on disk holds at the next start: it must be what runs.
	again := context.WithoutCancel(ctx)
	if before := was.members[m.name]; before != nil {
		return errors.Join(err, before.keep(again, r.registry))
	}
	return errors.Join(err, r.registry.Unregister(again, m.name))
}

// start has a new endpoint begin switched on, whatever became of a former one of
// its name.
func (r *reloader) start(ctx context.Context, name string) error {
	list, err := r.bridge.Endpoints(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if c := list[i].Condition; list[i].Name == name && (c == "paused" || c == "disabled") {
			_, err := r.bridge.Enable(ctx, name, bridge.ResumeAll, false)
			return err
		}
	}
	return nil
}

// prove has a receiver prove that it wants to be one, where that is asked for.
func (r *reloader) prove(ctx context.Context, m *member, asked bool) (verified time.Time, err error) {
	cfg := r.roll.Load().config
	e, err := m.endpoint(cfg)
	if err != nil {
		return verified, declined(http.StatusUnprocessableEntity, "%v", err)
	}
	d, err := newDestination(m.name, e, r.started.OwnListeners())
	if err != nil {
		return verified, declined(http.StatusUnprocessableEntity, "%v", err)
	}
	defer d.sender.Close()
	switch {
	case !asked && !cfg.Registration().Verify:
		return verified, nil
	case !d.told.Preset().Signed:
		return verified, declined(http.StatusUnprocessableEntity, "verify: a receiver of the preset %s answers no challenge (leave verify out, or have the operator write the endpoint into the configuration)", e.Preset)
	}
	result := d.sender.Challenge(ctx)
	if result.Verdict != webhook.Accepted {
		return verified, declined(http.StatusUnprocessableEntity, "verify: %s (it has to answer with the text in data.challenge, alone or as {\"challenge\": …}; tocsin listen does)", unproved(&result))
	}
	return time.Now().UTC(), nil
}

// unproved says what came back in the place of a challenge, and of what could not be
// reached no more than that.
func unproved(result *webhook.Result) string {
	if result.Status == 0 {
		return result.Public()
	}
	const most = 200
	text := fmt.Sprintf("the receiver answered %d %s without the challenge", result.Status, http.StatusText(result.Status))
	if body := strings.ToValidUTF8(string(result.Body[:min(len(result.Body), most)]), ""); body != "" {
		text += ", but " + strconv.QuoteToASCII(body)
	}
	return text
}

// owned is the member of a name, for whom wants to change it. The caller holds mu.
func (r *reloader) owned(name string) (*member, error) {
	roll := r.roll.Load()
	if place := roll.config.Place(name); place != "" {
		return nil, declined(http.StatusConflict, "endpoint %s is in the configuration, at %s (change it there)", name, place)
	}
	m := roll.members[name]
	if m == nil {
		return nil, declined(http.StatusNotFound, "there is no registered endpoint %q (tocsin endpoints lists them)", name)
	}
	return m, nil
}

// changeable is a copy of a member that is to be the next version of it.
func (r *reloader) changeable(by, name string) (*member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := r.owned(name)
	if err != nil {
		return nil, err
	}
	if m.words == nil {
		return nil, declined(http.StatusConflict, "endpoint %s cannot be read any more (restore the key beside the database, or remove it and register it again)", name)
	}
	next, words := *m, *m.words
	next.words, next.Changer, next.Changed, next.Version = &words, by, time.Now().UTC(), m.Version+1
	return &next, nil
}

// replace installs the next version of a member, unless somebody else was faster.
func (r *reloader) replace(ctx context.Context, next *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.owned(next.name)
	if err != nil {
		return err
	}
	if now.Version != next.Version-1 {
		return declined(http.StatusConflict, "endpoint %s was changed meanwhile (look at it, and ask again)", next.name)
	}
	return r.install(ctx, next)
}

// change changes an endpoint: what is not said stays.
func (r *reloader) change(ctx context.Context, by, ifMatch, name string, in *api.Changing) (done api.Registered, err error) {
	done.Name = name
	next, err := r.changeable(by, name)
	if err != nil {
		return done, err
	}
	if version := strconv.Quote(strconv.Itoa(next.Version - 1)); ifMatch != "" && ifMatch != "*" && ifMatch != version {
		return done, declined(http.StatusPreconditionFailed, "If-Match: endpoint %s is of the version %s (look at it, and ask again)", name, version)
	}
	was := *next.words
	if done.Said, err = next.take(&in.EndpointWords); err != nil {
		return done, err
	}
	if !reflect.DeepEqual(&in.EndpointWords, &api.EndpointWords{}) {
		if done.Secret, err = next.sign(webhook.Credential{}); err != nil {
			return done, err
		}
		moved := was.URL.Reveal() != next.words.URL.Reveal() || was.Preset != next.words.Preset || was.Region != next.words.Region
		if moved && in.With == nil && was.HasParameters() {
			return done, declined(http.StatusUnprocessableEntity, "with: it was given for another receiver, who may not be meant to see it (say it again, or leave url, preset and region as they are)")
		}
		asked := in.Verify != nil && *in.Verify || moved && !next.Verified.IsZero()
		if moved || asked {
			if next.Verified, err = r.prove(ctx, next, asked); err != nil {
				return done, err
			}
		}
		if err := r.replace(ctx, next); err != nil {
			return done, err
		}
	}
	if in.Disabled != nil {
		done.Said = append(done.Said, "disabled", strconv.FormatBool(*in.Disabled))
		err = r.toggle(ctx, name, by, *in.Disabled)
	}
	return done, err
}

func (r *reloader) toggle(ctx context.Context, name, by string, off bool) error {
	if off {
		return r.bridge.Pause(ctx, name, "switched off by "+by)
	}
	_, err := r.bridge.Enable(ctx, name, bridge.ResumeAll, false)
	return err
}

// rotate gives an endpoint another secret, which signs beside the old one for a time.
func (r *reloader) rotate(ctx context.Context, by, name string, in *api.Rotating) (done api.Registered, err error) {
	done.Name = name
	const usual, most = 24 * time.Hour, 7 * 24 * time.Hour
	keep := rules.Duration(usual)
	if in.Keep != "" {
		if err := keep.UnmarshalText([]byte(in.Keep)); err != nil || time.Duration(keep) > most {
			return done, declined(http.StatusUnprocessableEntity, "keep: %q is not between 0s and 7d (write 24h)", in.Keep)
		}
	}
	next, err := r.changeable(by, name)
	if err != nil {
		return done, err
	}
	if !next.words.NeedsSecret() {
		return done, declined(http.StatusConflict, "endpoint %s signs nothing: its receiver knows us otherwise", name)
	}
	secret := webhook.NewSecret()
	if in.Secret.IsZero() {
		done.Secret = webhook.NewCredential(secret.Reveal())
	} else if secret, err = webhook.TextSecret(in.Secret.Reveal()); err != nil {
		return done, declined(http.StatusUnprocessableEntity, "secret: %v", err)
	}
	until := time.Now().Add(time.Duration(keep)).UTC()
	next.words.Rotated(secret, until)
	done.Said = []string{"secret", "another", "old_until", until.Format(time.RFC3339)}
	if err := r.replace(ctx, next); err != nil {
		return api.Registered{Name: name, Said: done.Said}, err
	}
	return done, nil
}

// remove forgets an endpoint. One that is owed something is removed only when that
// may be discarded.
func (r *reloader) remove(ctx context.Context, name string, discard bool) (done api.Removed, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.owned(name); err != nil {
		return done, err
	}
	backlog, err := r.bridge.Backlog(ctx, name)
	if err != nil {
		return done, err
	}
	if backlog.Count > 0 && !discard {
		return api.Removed{Owed: backlog.Count}, declined(http.StatusConflict,
			"endpoint %s is owed %s (ask with discard=true to remove it all the same, or wait until they are delivered)", name, count(backlog.Count, "delivery"))
	}
	if err := r.registry.Unregister(ctx, name); err != nil {
		return done, err
	}
	// From here on it is gone, whatever becomes of what it is owed.
	was := r.roll.Load()
	if _, err := r.turn(ctx, was.config, was.members.without(name)); err != nil {
		return done, err
	}
	r.log.Info("endpoint removed", "endpoint", name)
	return r.settle(ctx, name, discard)
}

// settle discards what an endpoint that was removed is owed. What is under way is
// waited for: it ends within the grace of its lane.
func (r *reloader) settle(ctx context.Context, name string, discard bool) (done api.Removed, err error) {
	const within, every = 6 * time.Second, 50 * time.Millisecond
	for end := time.Now().Add(within); ; {
		if discard {
			n, err := r.bridge.Discard(ctx, bridge.Selection{Endpoint: name, Reason: "the endpoint was removed"})
			done.Discarded += n
			if err != nil && n > 0 {
				return done, err
			}
		}
		backlog, err := r.bridge.Backlog(ctx, name)
		done.Owed = backlog.Count
		if err != nil || done.Owed == 0 || !discard || time.Now().After(end) {
			return done, err
		}
		select {
		case <-ctx.Done():
			return done, nil
		case <-time.After(every):
		}
	}
}

// sign has a member that needs a secret and has none get one, and returns it to be
// shown where it was made.
func (m *member) sign(given webhook.Credential) (made webhook.Credential, err error) {
	if !given.IsZero() {
		secret, err := webhook.TextSecret(given.Reveal())
		if err != nil {
			return made, declined(http.StatusUnprocessableEntity, "secret: %v", err)
		}
		m.words.Secrets = []webhook.Secret{secret}
		return made, nil
	}
	if len(m.words.Secrets) > 0 || !m.words.NeedsSecret() {
		return made, nil
	}
	secret := webhook.NewSecret()
	m.words.Secrets = []webhook.Secret{secret}
	return webhook.NewCredential(secret.Reveal()), nil
}

// take has a member be what is said of it, and returns what has changed, without
// secrets, as pairs of a name and a text.
func (m *member) take(in *api.EndpointWords) (said []string, err error) {
	w := m.words
	say := func(name, was, is string) {
		if was != is {
			said = append(said, name, strings.TrimPrefix(was+" → "+is, " → "))
		}
	}
	text := func(name string, to *string, given *string) {
		if given != nil {
			say(name, *to, *given)
			*to = *given
		}
	}
	list := func(name string, to *[]string, given []string) {
		if given != nil {
			say(name, strings.Join(*to, " "), strings.Join(given, " "))
			*to = given
		}
	}
	table := func(name string, to *map[string]string, given map[string]string) {
		if given != nil {
			say(name, pairsText(*to), pairsText(given))
			*to = given
		}
	}
	if in.URL != nil {
		say("url", shownURL(w.URL.Reveal()), shownURL(*in.URL))
		if was := w.URL.Reveal(); was != "" && was != *in.URL && shownURL(was) == shownURL(*in.URL) {
			said = append(said, "url", "another at "+shownURL(was))
		}
		w.URL = webhook.NewCredential(*in.URL)
	}
	list("types", &w.Types, in.Types)
	list("severity", &w.Severity, in.Severity)
	list("sign", &w.Sign, in.Sign)
	table("labels", &w.Labels, in.Labels)
	table("headers", &w.Headers, in.Headers)
	text("preset", &w.Preset, in.Preset)
	text("region", &w.Region, in.Region)
	text("payload", &w.Payload, in.Payload)
	text("link", &w.Link, in.Link)
	text("rate", &w.Rate, in.Rate)
	text("description", &m.Description, in.Description)
	if in.With != nil {
		params, err := json.Marshal(in.With)
		if err != nil {
			return said, declined(http.StatusUnprocessableEntity, "with: is no object of JSON")
		}
		if w.With.Reveal() != string(params) {
			said = append(said, "with", "changed")
		}
		w.With = webhook.NewCredential(string(params))
	}
	return said, nil
}

func pairsText(pairs map[string]string) string {
	text, _ := json.Marshal(pairs) // of texts, which can be written
	if string(text) == "null" {
		return ""
	}
	return string(text)
}

// shownURL is as much of a URL as is no secret.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/..."
}

// nameFor makes a name of the host.
func nameFor(w *config.Registered) string {
	base := cmp.Or(w.Preset, "endpoint")
	if u, err := url.Parse(w.URL.Reveal()); err == nil && u.Hostname() != "" {
		base = u.Hostname()
	}
	const most = 50
	base = strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c == '.', c == '-':
			return c
		case c >= 'A' && c <= 'Z':
			return c - 'A' + 'a'
		}
		return '-'
	}, base), ".-")
	return cmp.Or(base[:min(len(base), most)], "endpoint") + "-" + strings.ToLower(rand.Text()[:6])
}
