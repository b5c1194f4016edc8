package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
	"tocsin/bridge/decode"
	"tocsin/bridge/history"
	"tocsin/bridge/page"
	"tocsin/bridge/store"
	"tocsin/bridge/trace"
	"tocsin/broker"
)

// An assembly is every part of one running bridge, made from a configuration.
// Two of them may run in one process.
type assembly struct {
	source   source
	bridge   *bridge.Bridge
	reloader *reloader
	http     *api.Server   // nil when it is switched off
	tracer   *trace.Tracer // nil when nothing is traced
	scheme   string        // of http
	log      *slog.Logger
	close    []func() // what has been opened, in that order
}

// A source is a bridge's source that can say whether it serves.
type source interface {
	bridge.Source
	Ready() error
}

// assemble opens everything that cfg names, and nothing when it fails.
func assemble(ctx context.Context, cfg *config.Config, o assemblyOptions) (*assembly, error) {
	a := &assembly{log: o.log}
	if err := a.open(ctx, cfg, o); err != nil {
		a.discard()
		return nil, err
	}
	return a, nil
}

// assemblyOptions are what the configuration does not say.
type assemblyOptions struct {
	log    *slog.Logger
	level  *slog.LevelVar                                      // of log, if the configuration decides it; nil: a flag does
	enable []string                                            // endpoints to be switched on again
	load   func(path string) (*config.Config, config.Problems) // reads the configuration again
}

// open opens the store first, because it says whether another process is at work
// there, and listeners last.
func (a *assembly) open(ctx context.Context, cfg *config.Config, o assemblyOptions) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	db, err := store.Open(ctx, store.Options{Path: cfg.Store.Path, Log: a.log, Registerer: registry})
	if err != nil {
		return err // it says that it is the store's
	}
	a.close = append(a.close, func() {
		if err := db.Close(); err != nil {
			a.log.Error("closing the store", "error", err)
		}
	})
	past, err := a.openHistory(cfg, registry)
	if err != nil {
		return err
	}
	decoders, err := openDecoders(cfg)
	if err != nil {
		return err
	}
	if a.reloader, err = newReloader(ctx, cfg, o, db.Registry()); err != nil {
		return err
	}
	a.close = append(a.close, a.reloader.close)
	forDevices, forHTTP := 0, 0 // of the files that may be open; 0 where no limit is known
	if limit, ok := openFiles(); ok {
		forDevices, forHTTP = divideFiles(limit)
	}
	for _, f := range examineLimits(cfg) {
		if f.Verdict != fine {
			a.log.Warn(fmt.Sprintf("%s: %s (%s)", f.Place, f.Fact, f.Remedy))
		}
	}
	clients := func(ev broker.ClientEvent) { a.bridge.Client(ev) } // it is there when the source runs
	if a.source, err = openSource(cfg, decoders, clients, forDevices, a.log, registry); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if closer, ok := a.source.(io.Closer); ok {
		a.close = append(a.close, func() { _ = closer.Close() }) // a listener that never served
	}
	if err := registerState(registry, cfg, a.source, a.reloader); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if a.tracer, err = openTracer(cfg, registry, a.log); err != nil {
		return err // it says that it is about tracing
	}
	a.bridge, err = bridge.New(ctx, bridge.Options{
		Program: cfg.Rules, Decoders: decoders, Unattended: unattended(cfg), Source: a.source, Store: db, History: past, Enable: o.enable,
		Endpoints: listed(a.reloader.roll.Load().endpoints), Connected: func(string) bool { return a.source.Ready() == nil },
		LastAlive: db.LastAlive(), Born: db.Born(), MaxDevices: cfg.Limits.Devices, HostRate: float64(cfg.Limits.PerHost), Registerer: registry, Log: a.log, Tracer: a.tracer,
		Retention: bridge.Retention{Age: cfg.Store.Retention.Age, Bytes: int64(cfg.Store.Retention.Size)},
	})
	if err != nil {
		return err
	}
	a.reloader.bridge = a.bridge
	if cfg.HTTP.Listen == "" {
		return nil
	}
	if a.http, err = a.openHTTP(cfg, forHTTP, registry); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if a.scheme = "http"; cfg.HTTP.TLS.Cert != "" {
		a.scheme = "https"
	}
	return nil
}

// discard closes what was opened, last first.
func (a *assembly) discard() {
	for _, f := range slices.Backward(a.close) {
		f()
	}
}

// notReady says why the bridge cannot take messages in and store them.
func (a *assembly) notReady() []string {
	reasons := a.bridge.Ready()
	if err := a.source.Ready(); err != nil {
		reasons = append(reasons, err.Error())
	}
	return reasons
}

// serve runs the parts until ctx ends or one cannot go on. The HTTP server goes
// last, so that the stop can be watched. ready is called once, when everything
// is first ready.
func (a *assembly) serve(ctx context.Context, ready func()) error {
	defer a.discard()
	background, stopHTTP := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHTTP()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	served := make(chan error, 1)
	if a.http == nil {
		served <- nil
	} else {
		go func() {
			err := a.http.Run(background)
			if err != nil {
				stop(fmt.Errorf("http: %w", err))
			}
			served <- err
		}()
	}
	announced := make(chan struct{})
	go func() {
		defer close(announced)
		a.announce(ctx, ready)
	}()
	tracing, stopTracing := context.WithCancel(background)
	defer stopTracing()
	var traced sync.WaitGroup
	traced.Go(func() { a.tracer.Run(tracing) })
	err := a.bridge.Run(ctx)
	stop(err)
	<-announced
	stopTracing() // what the last attempts said is sent
	traced.Wait()
	stopHTTP()
	return errors.Join(err, <-served)
}

// announce waits until everything is ready.
func (a *assembly) announce(ctx context.Context, ready func()) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for len(a.notReady()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
	ready()
}

// registerState registers the gauges of what only this package sees together.
func registerState(registry prometheus.Registerer, cfg *config.Config, src source, r *reloader) error {
	gauges := []prometheus.Collector{r.success, newCertificates(r), newSigningKeys(r.configured)}
	for name := range cfg.Sources {
		gauges = append(gauges, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tocsin_source_connected", Help: "1 while messages of the source can come in.",
			ConstLabels: prometheus.Labels{"source": name},
		}, func() float64 {
			if src.Ready() != nil {
				return 0
			}
			return 1
		}))
	}
	for _, g := range gauges {
		if err := registry.Register(g); err != nil {
			return err
		}
	}
	return nil
}

// openHistory opens what is kept of recent readings; nil when nothing is kept.
func (a *assembly) openHistory(cfg *config.Config, registry prometheus.Registerer) (*history.Log, error) {
	keep := cfg.Store.History.Keep
	if keep == 0 {
		return nil, nil
	}
	past, err := history.Open(history.Options{Path: filepath.Join(cfg.Store.Path, "history"), Keep: keep, Log: a.log, Registerer: registry})
	if err != nil {
		return nil, err // it says that it is the history's
	}
	a.close = append(a.close, func() {
		if err := past.Close(); err != nil {
			a.log.Error("closing the history", "error", err)
		}
	})
	return past, nil
}

// openTracer opens what sends traces; nil when nothing is traced.
func openTracer(cfg *config.Config, registry prometheus.Registerer, log *slog.Logger) (*trace.Tracer, error) {
	t := cfg.Tracing
	if t == nil || t.OTLP == "" {
		return nil, nil
	}
	return trace.New(trace.Options{
		URL: t.OTLP, Headers: t.Sent(), Ratio: t.Ratio, Service: t.Service, Version: buildVersion(), Registerer: registry, Log: log,
	})
}

func openDecoders(cfg *config.Config) ([]*decode.Decoder, error) {
	var decoders []*decode.Decoder
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		s := cfg.Sources[name]
		d, err := decode.New(decode.Options{
			Name: name, Topic: s.Topic, Decoder: s.Decoder,
			Records: s.Records, Device: s.Device, Metric: s.Metric, Value: s.Value, Unit: s.Unit,
			Time:  decode.TimeOptions{Path: s.Time.Path, Format: s.Time.Format, Zone: s.Timezone},
			Clock: s.Clock, MaxAhead: s.MaxAhead, MaxPast: s.MaxPast, Rename: s.Rename,
		})
		if err != nil {
			return nil, err // it says which source
		}
		decoders = append(decoders, d)
	}
	return decoders, nil
}

// unattended names the sources whose devices are not lost with their connections.
func unattended(cfg *config.Config) []string {
	var names []string
	for name, s := range cfg.Sources {
		if s.Presence == "none" {
			names = append(names, name)
		}
	}
	return names
}

func openSource(cfg *config.Config, decoders []*decode.Decoder, clients func(broker.ClientEvent), connections int, log *slog.Logger, registry prometheus.Registerer) (source, error) {
	if cfg.Broker.Mode == config.External {
		return openClient(cfg.Broker.External, decoders, log, registry)
	}
	b := cfg.Broker.Embedded
	users := make(map[string]broker.User, len(b.Users))
	for name, u := range b.Users {
		users[name] = broker.User{PasswordHash: u.Password.Reveal(), Publish: u.Publish, Subscribe: u.Subscribe}
	}
	tlsConfig, err := b.TLS.ServerConfig()
	if err != nil {
		return nil, fmt.Errorf("embedded.tls: %w", err)
	}
	return broker.NewEmbedded(broker.EmbeddedOptions{
		Listen: b.Listen, TLSListen: b.TLS.Listen, TLS: tlsConfig,
		Anonymous: broker.Anonymous(b.Anonymous), MaxPacket: int(b.MaxPacket), MaxConnections: b.MaxConnections, MaxOpen: connections,
		Rate: float64(b.PerClient.Rate), Inflight: b.PerClient.Inflight,
		Users: users, Clients: clients, Log: log, Registerer: registry,
	})
}

func openClient(b config.ExternalBroker, decoders []*decode.Decoder, log *slog.Logger, registry prometheus.Registerer) (source, error) {
	tlsConfig, err := b.TLS.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("external.tls: %w", err)
	}
	topics := make([]string, len(decoders))
	for i, d := range decoders {
		topics[i] = d.Filter()
	}
	return broker.NewClient(broker.ClientOptions{
		Name: "external", URL: b.URL, ClientID: b.ClientID, Username: b.Username, Password: b.Password.Reveal(),
		TLS: tlsConfig, Topics: topics, Share: b.Share, Log: log, Registerer: registry,
	})
}

func (a *assembly) openHTTP(cfg *config.Config, connections int, registry *prometheus.Registry) (*api.Server, error) {
	tlsConfig, err := cfg.HTTP.TLS.ServerConfig()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	browser, err := page.New()
	if err != nil {
		return nil, err // it says that it is the page's
	}
	return api.New(api.Options{
		Listen: cfg.HTTP.Listen, Hosts: cfg.HTTP.Hosts, Token: api.NewToken(cfg.HTTP.Token.Reveal()), TLS: tlsConfig, MaxConns: connections,
		Gatherer: registry, Ready: a.notReady, Later: a.reloader.later, Log: a.log,
		Page: browser, Version: buildVersion(),
		Keys:   func() any { return publicKeys(a.reloader.configured(), time.Now()) },
		Bridge: a.bridge,
		Reload: func(ctx context.Context) (api.Reloaded, error) { return a.reloader.reload(ctx, true) },
		Plan:   a.reloader.plan, Compile: a.reloader.compile,
		Registrar: a.reloader.registrar(),
	})
}

// listeners are the addresses the assembly listens on, by what is spoken there.
func (a *assembly) listeners() []listener {
	var ls []listener
	if e, ok := a.source.(*broker.Embedded); ok {
		for _, l := range e.Addrs() {
			ls = append(ls, listener{l.Name, l.String()})
		}
	}
	if a.http != nil {
		ls = append(ls, listener{a.scheme, a.http.Addr().String()})
	}
	return ls
}

// A listener is where something is spoken.
type listener struct{ name, addr string }
