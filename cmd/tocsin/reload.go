package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A reloader reads the configuration again and has a running bridge go by it.
// What it refuses changes nothing.
type reloader struct {
	load    func(path string) (*config.Config, config.Problems)
	bridge  *bridge.Bridge // set before anything is reloaded
	log     *slog.Logger
	level   *slog.LevelVar   // of log; nil: it stays
	success prometheus.Gauge // 1 when the configuration was last read without an error

	// roll is replaced with mu held, and read also by who must not wait for a reload.
	roll atomic.Pointer[roll]

	registry bridge.Registry // what was registered over HTTP
	started  *config.Config

	mu       sync.Mutex // one at a time
	rejected string     // what was wrong the last time, "" when nothing was
}

// A destination is an endpoint with what it was made from, and what has to be
// closed behind it.
type destination struct {
	bridge.Endpoint
	config *config.Endpoint
	told   *preset.Destination
	sender *webhook.Sender
}

// newReloader starts out from the configuration that the bridge starts with, and
// what was registered beside it.
func newReloader(ctx context.Context, cfg *config.Config, o assemblyOptions, registry bridge.Registry) (*reloader, error) {
	r := &reloader{
		load: o.load, log: o.log, level: o.level, started: cfg, registry: registry,
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_config_last_reload_success", Help: "1 when the configuration was last read without an error.",
		}),
	}
	r.success.Set(1) // with an error there would be no bridge
	r.roll.Store(new(roll))
	members, err := readRegistered(ctx, registry, o.log)
	if err != nil {
		return nil, err
	}
	if taken := cfg.Taken(members.has); len(taken) > 0 {
		return nil, refused("%v", taken[0])
	}
	first, err := r.enrol(cfg, members)
	if err != nil {
		return nil, err
	}
	r.roll.Store(first)
	r.tellHeld(first.held, nil)
	for _, name := range o.enable {
		if _, ok := first.endpoints[name]; !ok {
			r.close()
			return nil, refused("--enable: there is no endpoint %q (%s names them, and tocsin endpoints lists those that were registered)", name, cfg.Path)
		}
	}
	return r, nil
}

// configured are the endpoints as they are configured now.
func (r *reloader) configured() map[string]*config.Endpoint {
	all := map[string]*config.Endpoint{}
	for name, d := range r.roll.Load().endpoints {
		all[name] = d.config
	}
	return all
}

// close ends every sender's connections.
func (r *reloader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.roll.Load().endpoints {
		d.sender.Close()
	}
}

// enrol makes an endpoint for each that cfg names, and each that was registered; of
// these it holds what does not work under cfg, and says why. One that is configured
// as it was is the one that there is.
func (r *reloader) enrol(cfg *config.Config, members members) (next *roll, err error) {
	was := r.roll.Load()
	all, held := make(map[string]destination, len(cfg.Endpoints)+len(members)), make(map[string]string)
	defer func() {
		if err != nil {
			closeReplaced(all, was.endpoints)
		}
	}()
	add := func(name string, e *config.Endpoint) error {
		old, ok := was.endpoints[name]
		if ok && reflect.DeepEqual(e, old.config) {
			all[name] = old
			return nil
		}
		d, err := newDestination(name, e, r.started.OwnListeners())
		if err != nil {
			return err
		}
		d.Revision = old.Revision + 1
		all[name] = d
		return nil
	}
	for name, e := range cfg.Endpoints {
		if err := add(name, e); err != nil {
			return nil, err
		}
	}
	for name, m := range members {
		if was.config == cfg && was.members[name] == m { // one more need not cost as much as all
			if d, ok := was.endpoints[name]; ok {
				all[name] = d
			} else {
				held[name] = was.held[name]
			}
			continue
		}
		e, err := m.endpoint(cfg)
		if err == nil {
			err = add(name, e)
		}
		if err != nil {
			held[name] = err.Error()
		}
	}
	return &roll{cfg, all, members, held}, nil
}

// closeReplaced ends the connections of all that the others do not have.
func closeReplaced(all, others map[string]destination) {
	for name, d := range all {
		if others[name].sender != d.sender {
			d.sender.Close()
		}
	}
}

// newDestination makes an endpoint. Nothing is sent to own, which are our listeners.
func newDestination(name string, e *config.Endpoint, own []netip.AddrPort) (destination, error) {
	told, problems := preset.New(e.Destination(name))
	if told == nil {
		return destination{}, fmt.Errorf("endpoint %s: %w", name, problems[0]) // of a configuration that was checked
	}
	sender, err := newSender(name, told, e, own)
	if err != nil {
		return destination{}, err // it says which endpoint
	}
	send := func(ctx context.Context, batch []preset.Notice) preset.Reply {
		return told.Send(ctx, sender.Send, batch)
	}
	shown := func(n preset.Notice) []bridge.Request {
		return (&destination{config: e, told: told, sender: sender}).shown(n)
	}
	return destination{config: e, told: told, sender: sender, Endpoint: treat(bridge.Endpoint{
		Name: name, Target: told.Target(), Send: send, Requests: shown,
		Match: bridge.Match{Types: e.Match.Types, Severity: e.Match.Severity, Labels: e.Match.Labels},
		Sync:  e.Sync,
	}, told, e)}, nil
}

// listed are the endpoints in the order of their names.
func listed(all map[string]destination) []bridge.Endpoint {
	list := make([]bridge.Endpoint, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name].Endpoint)
	}
	return list
}

// reload reads the configuration and goes by it, or says what is wrong with it.
// What was read before, good or bad, is told again only when somebody asked.
func (r *reloader) reload(ctx context.Context, asked bool) (api.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cfg, problems := r.read(r.started.Path)
	if problems.Errors() > 0 {
		r.reject(ctx, problems, asked)
		return api.Reloaded{}, &api.Rejected{Problems: shownProblems(problems)}
	}
	was := r.roll.Load()
	if sameRules(was.config.RuleFile, cfg.RuleFile) {
		cfg.Rules = was.config.Rules // which spares the engine a reload
	}
	about, told := r.elsewhere(cfg, problems), r.needRestart(was.config)
	diff, err := r.turn(ctx, cfg, was.members)
	if err != nil && diff.Empty() {
		return api.Reloaded{}, err
	}
	report := api.Reloaded{Changes: diff, Elsewhere: about}
	r.relevel(cfg.Log.Level)
	mended := r.rejected != ""
	r.rejected = ""
	r.success.Set(1)
	if asked || mended || !diff.Empty() || len(about.Definitions) > 0 || !slices.Equal(about.Restart, told) {
		r.tell(&report, problems)
	}
	return report, err
}

// read reads a configuration that has no name which somebody has registered, and no
// file that was emptied.
func (r *reloader) read(path string) (*config.Config, config.Problems) {
	cfg, problems := r.load(path)
	if problems.Errors() == 0 {
		was := r.roll.Load()
		problems = append(problems, cfg.Taken(was.members.has)...)
		problems = append(problems, cfg.Emptied(was.config)...)
	}
	return cfg, problems
}

// turn has the bridge go by cfg and what is registered. The change has been made
// even when the error is not nil, as long as the diff is not empty.
func (r *reloader) turn(ctx context.Context, cfg *config.Config, members members) (bridge.Diff, error) {
	was := r.roll.Load()
	next, err := r.enrol(cfg, members)
	if err != nil {
		return bridge.Diff{}, err
	}
	diff, err := r.bridge.Reload(ctx, bridge.Reloaded{Program: cfg.Rules, Endpoints: listed(next.endpoints)})
	if err != nil && diff.Empty() {
		closeReplaced(next.endpoints, was.endpoints)
		return diff, err
	}
	closeReplaced(was.endpoints, next.endpoints)
	r.tellHeld(next.held, was.held)
	r.roll.Store(next)
	return diff, err
}

// tellHeld logs which registered endpoints are told nothing, and were or for another
// reason.
func (r *reloader) tellHeld(held, before map[string]string) {
	for name, why := range held {
		if before[name] != why {
			r.log.Error("a registered endpoint is told nothing as things stand; what it is owed is kept", "endpoint", name, "reason", why)
		}
	}
}

// plan says what going by the configuration at path would do, and does nothing.
// An empty path is the configuration that runs, as it is saved.
func (r *reloader) plan(ctx context.Context, path string) (api.Planned, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if path == "" {
		path = r.started.Path
	} else {
		near, err := r.near(path)
		if err != nil {
			return api.Planned{}, err
		}
		path = near
	}
	cfg, problems := r.read(path)
	if problems.Errors() > 0 {
		return api.Planned{}, &api.Rejected{Problems: shownProblems(problems)}
	}
	was := r.roll.Load()
	next, err := r.enrol(cfg, was.members)
	if err != nil {
		return api.Planned{}, err
	}
	closeReplaced(next.endpoints, was.endpoints)
	plan, err := r.bridge.Plan(ctx, bridge.Reloaded{Program: cfg.Rules, Endpoints: listed(next.endpoints)})
	return api.Planned{Plan: plan, Elsewhere: r.elsewhere(cfg, problems)}, err
}

// compile compiles the text of a rule file beside what runs.
func (r *reloader) compile(name, text string) (*rules.Program, []api.Problem) {
	program, problems := r.roll.Load().config.CompileText(name, text)
	return program, shownProblems(problems)
}

// near refuses a file that is not beside the running configuration: what is wrong
// with a file shows parts of it, and who may ask need not be who may read. It
// returns the file as the running configuration's path is written, so that what
// both name in their folder is the same.
func (r *reloader) near(path string) (string, error) {
	folder, err := filepath.Abs(filepath.Dir(r.started.Path))
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return "", fmt.Errorf("finding the folder of the configuration: %w", err)
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		file = filepath.Clean(path) // reading it will say what is wrong
	}
	below, err := filepath.Rel(folder, file)
	if err != nil || !filepath.IsLocal(below) || filepath.Ext(file) != ".toml" {
		return "", fmt.Errorf("%w: config: %s is not a .toml file in %s or below (copy it there)", api.ErrRequest, path, folder)
	}
	return filepath.Join(filepath.Dir(r.started.Path), below), nil
}

// reject tells what is wrong with a configuration: people by the log, monitoring
// by the metric, and whoever asked for it by an event.
func (r *reloader) reject(ctx context.Context, problems config.Problems, asked bool) {
	r.success.Set(0)
	var lines []string
	for _, p := range problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	text := strings.Join(lines, "\n")
	again := text == r.rejected
	r.rejected = text
	if again && !asked {
		return
	}
	r.log.Error("configuration rejected; what runs goes on unchanged", "config", r.started.Path, "errors", len(lines))
	for _, line := range lines {
		r.log.Error("configuration problem", "problem", line)
	}
	if again {
		return
	}
	const shown = 10
	if len(lines) > shown {
		lines = append(lines[:shown:shown], fmt.Sprintf("and %d more", len(lines)-shown))
	}
	err := r.bridge.Announce(ctx, rules.Event{
		Type: rules.ConfigRejected, At: time.Now(), Because: strings.Join(lines, "\n"),
		Title: "tocsin: the configuration was rejected with " + count(problems.Errors(), "error") + "; what runs goes on unchanged",
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log.Warn("telling that the configuration was rejected", "error", err)
	}
}

// tell logs what a reload changed.
func (r *reloader) tell(report *api.Reloaded, problems config.Problems) {
	for _, p := range problems {
		r.log.Warn("configuration problem", "problem", p.String())
	}
	attrs := []any{"config", r.started.Path}
	for _, said := range report.Said() {
		attrs = append(attrs, said)
	}
	if report.Changes.Empty() && len(report.Definitions) == 0 {
		r.log.Info("configuration read again: rules and endpoints are as they were", attrs...)
	} else {
		r.log.Info("configuration reloaded", attrs...)
	}
	if len(report.Restart) > 0 {
		r.log.Warn("some of the configuration takes effect at the next start only (restart tocsin)", "sections", strings.Join(report.Restart, " "))
	}
}

// elsewhere is what there is to say of cfg beside its rules and endpoints.
func (r *reloader) elsewhere(cfg *config.Config, problems config.Problems) api.Elsewhere {
	return api.Elsewhere{
		Definitions: differing(definitions(r.roll.Load().config.RuleFile, cfg.RuleFile)),
		Restart:     r.needRestart(cfg),
		Warnings:    shownProblems(problems),
	}
}

// definitions are the tables of rule files that rules refer to, or that concern
// all of them.
func definitions(was, is *rules.File) []pair {
	return []pair{
		{"defaults", was.Defaults, is.Defaults},
		{"metric", was.Metric, is.Metric},
		{"device", was.Device, is.Device},
		{"group", was.Group, is.Group},
		{"schedule", was.Schedule, is.Schedule},
		{"maintenance", was.Maintenance, is.Maintenance},
		{"flood", was.Flood, is.Flood},
	}
}

// sameRules reports whether two files make the same program, down to the lines
// that its rules begin in.
func sameRules(was, is *rules.File) bool {
	return len(differing(append(definitions(was, is), pair{"rule", was.Rule, is.Rule}))) == 0
}

// needRestart names the sections of cfg that differ from what was started and
// cannot change while the bridge runs.
func (r *reloader) needRestart(cfg *config.Config) []string {
	parts := []pair{{"broker", r.started.Broker, cfg.Broker}}
	names := slices.AppendSeq(slices.Collect(maps.Keys(r.started.Sources)), maps.Keys(cfg.Sources))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		parts = append(parts, pair{"source." + name, r.started.Sources[name], cfg.Sources[name]})
	}
	return differing(append(parts, []pair{
		{"store", r.started.Store, cfg.Store},
		{"http", unregistered(r.started.HTTP), unregistered(cfg.HTTP)},
		{"limits", r.started.Limits, cfg.Limits},
		{"log", r.started.Log.Format, cfg.Log.Format},
		{"tracing", r.started.Tracing, cfg.Tracing},
	}...))
}

// later names the sections of what was read last that take a restart.
func (r *reloader) later() []string { return r.needRestart(r.roll.Load().config) }

// unregistered is what of the HTTP server is as it was started.
func unregistered(h config.HTTP) config.HTTP {
	h.Registration = nil
	return h
}

// A pair is a part of two configurations.
type pair struct {
	name    string
	was, is any
}

// differing names the parts that are not the same.
func differing(parts []pair) []string {
	names := []string{} // a list, never null
	for _, p := range parts {
		if !reflect.DeepEqual(p.was, p.is) {
			names = append(names, p.name)
		}
	}
	return names
}

// shownProblems are problems as the HTTP server shows them.
func shownProblems(problems config.Problems) []api.Problem {
	shown := make([]api.Problem, len(problems)) // never null
	for i, p := range problems {
		shown[i] = api.Problem{File: p.File, Line: p.Line, Column: p.Column, Place: p.Place, Fact: p.Fact, Remedy: p.Remedy, Warning: p.Warning}
	}
	return shown
}
