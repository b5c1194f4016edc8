package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
)

// A member is an endpoint that was registered over HTTP. It is not changed: what
// changes is another of that name.
type member struct {
	registration
	name  string
	words *config.Registered // nil: what was kept cannot be read
}

// A registration is how an endpoint came to be a member, as it is kept.
type registration struct {
	Description string    `json:"description,omitempty"`
	By          string    `json:"by"`
	At          time.Time `json:"at"`
	Changer     string    `json:"changer,omitempty"`
	Changed     time.Time `json:"changed,omitzero"`
	Verified    time.Time `json:"verified,omitzero"`
	Version     int       `json:"version"`
}

// keptMember is the form in which a member is kept.
type keptMember struct {
	registration
	Endpoint json.RawMessage `json:"endpoint"`
}

type members map[string]*member

func (ms members) has(name string) bool { return ms[name] != nil }

// with are the members with one in the place of whoever had its name.
func (ms members) with(m *member) members {
	all := maps.Clone(ms)
	if all == nil {
		all = members{}
	}
	all[m.name] = m
	return all
}

func (ms members) without(name string) members {
	all := maps.Clone(ms)
	delete(all, name)
	return all
}

// A roll is what runs: a configuration, of which what cannot be reloaded is as it was
// started, and who is told under it.
type roll struct {
	config    *config.Config
	endpoints map[string]destination // of the configuration, and of members
	members   members
	held      map[string]string // members that are told nothing, and why
}

// readRegistered reads all members. One that cannot be read is a member all the
// same: its name is taken, and what it is owed waits.
func readRegistered(ctx context.Context, registry bridge.Registry, log *slog.Logger) (members, error) {
	kept, err := registry.Registered(ctx)
	if err != nil {
		return nil, err
	}
	all := make(members, len(kept))
	for _, k := range kept {
		m := &member{name: k.Name}
		var form keptMember
		err := json.Unmarshal([]byte(k.Reveal()), &form)
		if err == nil {
			m.registration = form.registration
			m.words, err = config.ReadRegistered(form.Endpoint)
		}
		if err != nil { // which may hold what was kept
			log.Error("a registered endpoint cannot be read", "endpoint", k.Name)
		}
		all[k.Name] = m
	}
	return all, nil
}

// keep has a member on disk.
func (m *member) keep(ctx context.Context, registry bridge.Registry) error {
	endpoint, err := m.words.Reveal()
	if err != nil {
		return err
	}
	text, err := json.Marshal(keptMember{m.registration, endpoint})
	if err != nil {
		return fmt.Errorf("writing endpoint %s: %w", m.name, err)
	}
	return registry.Register(ctx, bridge.NewRegistered(m.name, string(text)))
}

// endpoint is the member as an endpoint under a configuration.
func (m *member) endpoint(cfg *config.Config) (*config.Endpoint, error) {
	if m.words == nil {
		return nil, errors.New("what was registered cannot be read (restore the key beside the database, or remove the endpoint and register it again)")
	}
	e, problems := cfg.Registered(m.name, m.words)
	if e == nil {
		return nil, errors.New(unplaced(problems))
	}
	return e, nil
}

// unplaced are the errors among problems in one line.
func unplaced(problems config.Problems) string {
	var lines []string
	for _, p := range problems {
		if !p.Warning {
			lines = append(lines, p.Unplaced())
		}
	}
	return strings.Join(lines, "; ")
}

// facts are what is known of every endpoint, those that are held included.
func (r *reloader) facts() map[string]api.EndpointFacts {
	roll := r.roll.Load()
	all := make(map[string]api.EndpointFacts, len(roll.endpoints)+len(roll.held))
	for name, d := range roll.endpoints {
		f := factsOf(&d)
		f.Owner, f.Place = "configuration", roll.config.Place(name)
		all[name] = f
	}
	for name, m := range roll.members {
		f := all[name] // of one that is held: nothing
		f.Owner, f.Place, f.Description = "registration", "", m.Description
		f.Registered = &api.RegistrationFacts{
			At: m.At, By: m.By, Changed: m.Changed, Changer: m.Changer, Verified: m.Verified, Version: strconv.Itoa(m.Version), Held: roll.held[name],
		}
		all[name] = f
	}
	return all
}

// factsOf is what may be known of an endpoint.
func factsOf(d *destination) api.EndpointFacts {
	e := d.config
	f := api.EndpointFacts{
		URL: d.told.Shown(), Preset: e.Preset, Types: e.Match.Types, Labels: e.Match.Labels,
		Parameters: slices.Sorted(maps.Keys(e.With)), Headers: slices.Sorted(maps.Keys(e.Headers)),
	}
	for _, s := range e.Match.Severity {
		f.Severity = append(f.Severity, s.String())
	}
	for _, s := range e.Schemes {
		f.Sign = append(f.Sign, string(s))
	}
	for _, s := range e.Secrets {
		f.Secrets = append(f.Secrets, api.SecretFacts{NotAfter: s.NotAfter()})
	}
	return f
}
