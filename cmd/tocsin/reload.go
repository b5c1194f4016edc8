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
	success prometheus.Gauge // 1 when the configuration was last read without an error

	// endpoints are those of running: replaced with mu held, and read also by who
	// must not wait for a reload.
	endpoints atomic.Pointer[map[string]destination]

	mu       sync.Mutex // one at a time
	started  *config.Config
	running  *config.Config // rules and endpoints; the rest is as it was started
	rejected string         // what was wrong the last time, "" when nothing was
}

// A destination is an endpoint with what it was made from, and what has to be
// closed behind it.
type destination struct {
	bridge.Endpoint
	config *config.Endpoint
	told   *preset.Destination
	sender *webhook.Sender
}

// newReloader starts out from the configuration that the bridge starts with.
func newReloader(cfg *config.Config, o assemblyOptions) (*reloader, error) {
	r := &reloader{
		load: o.load, log: o.log, started: cfg, running: cfg,
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_config_last_reload_success", Help: "1 when the configuration was last read without an error.",
		}),
	}
	r.success.Set(1) // with an error there would be no bridge
	r.endpoints.Store(new(map[string]destination))
	all, err := r.destinations(cfg)
	r.endpoints.Store(&all)
	return r, err
}

// configured are the endpoints as they are configured now.
func (r *reloader) configured() map[string]*config.Endpoint {
	all := map[string]*config.Endpoint{}
	for name, d := range *r.endpoints.Load() {
		all[name] = d.config
	}
	return all
}

// close ends every sender's connections.
func (r *reloader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range *r.endpoints.Load() {
		d.sender.Close()
	}
}

// destinations makes an endpoint for each that cfg names. One that is configured
// as it was is the one that there is.
func (r *reloader) destinations(cfg *config.Config) (map[string]destination, error) {
	all, current := make(map[string]destination, len(cfg.Endpoints)), *r.endpoints.Load()
	for name, e := range cfg.Endpoints {
		old, ok := current[name]
		if ok && reflect.DeepEqual(e, old.config) {
			all[name] = old
			continue
		}
		d, err := newDestination(name, e, r.started.OwnListeners())
		if err != nil {
			return nil, err
		}
		d.Revision = old.Revision + 1
		all[name] = d
	}
	return all, nil
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
	return destination{config: e, told: told, sender: sender, Endpoint: treat(bridge.Endpoint{
		Name: name, Target: told.Target(), Send: send,
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
	cfg, problems := r.load(r.started.Path)
	if problems.Errors() > 0 {
		r.reject(ctx, problems, asked)
		return api.Reloaded{}, &api.Rejected{Problems: shownProblems(problems)}
	}
	if sameRules(r.running.RuleFile, cfg.RuleFile) {
		cfg.Rules = r.running.Rules // which spares the engine a reload
	}
	next, err := r.destinations(cfg)
	if err != nil {
		return api.Reloaded{}, err
	}
	diff, err := r.bridge.Reload(ctx, bridge.Reloaded{Program: cfg.Rules, Endpoints: listed(next)})
	if err != nil && diff.Empty() {
		return api.Reloaded{}, err
	}
	about, told := r.elsewhere(cfg, problems), r.needRestart(r.running)
	for name, old := range *r.endpoints.Load() {
		if next[name].sender != old.sender {
			old.sender.Close()
		}
	}
	mended := r.rejected != ""
	r.running, r.rejected = cfg, ""
	r.endpoints.Store(&next)
	r.success.Set(1)
	if asked || mended || !diff.Empty() || len(about.Definitions) > 0 || !slices.Equal(about.Restart, told) {
		r.tell(diff, about, problems)
	}
	return api.Reloaded{Changes: diff, Elsewhere: about}, err
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
	cfg, problems := r.load(path)
	if problems.Errors() > 0 {
		return api.Planned{}, &api.Rejected{Problems: shownProblems(problems)}
	}
	next, err := r.destinations(cfg)
	if err != nil {
		return api.Planned{}, err
	}
	current := *r.endpoints.Load()
	for name, d := range next {
		if current[name].sender != d.sender {
			d.sender.Close()
		}
	}
	plan, err := r.bridge.Plan(ctx, bridge.Reloaded{Program: cfg.Rules, Endpoints: listed(next)})
	return api.Planned{Plan: plan, Elsewhere: r.elsewhere(cfg, problems)}, err
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
func (r *reloader) tell(diff bridge.Diff, about api.Elsewhere, problems config.Problems) {
	for _, p := range problems {
		r.log.Warn("configuration problem", "problem", p.String())
	}
	attrs := []any{"config", r.started.Path}
	list := func(key string, names []string) {
		if len(names) > 0 {
			attrs = append(attrs, key, strings.Join(names, " "))
		}
	}
	list("rules_added", diff.Rules.Added)
	list("rules_changed", diff.Rules.Changed)
	list("rules_removed", diff.Rules.Removed)
	for _, was := range slices.Sorted(maps.Keys(diff.Rules.Renamed)) {
		attrs = append(attrs, "rule_renamed", was+" "+diff.Rules.Renamed[was])
	}
	list("definitions", about.Definitions)
	list("endpoints_added", diff.Endpoints.Added)
	list("endpoints_changed", diff.Endpoints.Changed)
	list("endpoints_removed", diff.Endpoints.Removed)
	if diff.Empty() && len(about.Definitions) == 0 {
		r.log.Info("configuration read again: rules and endpoints are as they were", attrs...)
	} else {
		r.log.Info("configuration reloaded", attrs...)
	}
	if len(about.Restart) > 0 {
		r.log.Warn("some of the configuration takes effect at the next start only (restart tocsin)", "sections", strings.Join(about.Restart, " "))
	}
}

// elsewhere is what there is to say of cfg beside its rules and endpoints.
func (r *reloader) elsewhere(cfg *config.Config, problems config.Problems) api.Elsewhere {
	return api.Elsewhere{
		Definitions: differing(definitions(r.running.RuleFile, cfg.RuleFile)),
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
	return differing([]pair{
		{"broker", r.started.Broker, cfg.Broker},
		{"source", r.started.Sources, cfg.Sources},
		{"store", r.started.Store, cfg.Store},
		{"http", r.started.HTTP, cfg.HTTP},
		{"limits", r.started.Limits, cfg.Limits},
		{"log", r.started.Log, cfg.Log},
	})
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
