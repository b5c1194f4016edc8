package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/decode"
	"tocsin/bridge/history"
	"tocsin/bridge/trace"
	"tocsin/rules"
)

// Options are what a [Bridge] is made of.
type Options struct {
	Program   *rules.Program
	Decoders  []*decode.Decoder // by source; a message goes to each whose topic it matches
	Source    Source
	Store     Store
	Endpoints []Endpoint

	// History keeps recent inputs, so that a crash costs no window. The bridge
	// runs it, and does not close it. Nil: none is kept.
	History *history.Log

	// Enable names endpoints that are switched on although they answered 410.
	Enable []string

	// HostRate bounds the attempts a second at one host, of all endpoints there
	// together; 0: no limit.
	HostRate float64

	// Seed is what jitter and slow starts are drawn from, so that a run can be
	// repeated; 0: by chance.
	Seed uint64

	// LastAlive is when an earlier process on the same store was last known to
	// run. From then until now nothing was heard, and no timer moves by it. The
	// zero time means that there was none.
	LastAlive time.Time

	// Born is when the store was made, empty: alarms that were told before are not
	// known. The zero time is for one that has lost nothing.
	Born time.Time

	// Connected reports whether a source hears its devices; while it does not,
	// their silence proves nothing. Nil: they are always heard.
	Connected func(source string) bool

	MaxDevices int // that the program does not declare; 0 means 1,000,000

	// Unattended names sources whose devices are not lost when the connection of
	// the client that sends their readings is: see [Bridge.Client].
	Unattended []string

	Retention Retention
	Grace     time.Duration // for attempts in flight when stopping; 0 means 5 s

	Registerer prometheus.Registerer // nil: no metrics are registered
	Log        *slog.Logger          // nil: nothing is logged
	Tracer     *trace.Tracer         // nil: nothing is traced
}

// Retention bounds what is kept of settled deliveries and past alarms. What is
// still owed is never trimmed.
type Retention struct {
	Age   time.Duration // 0: for ever
	Bytes int64         // of the store on disk; 0: no limit
}

// A Bridge turns messages into events and tells the endpoints.
type Bridge struct {
	sources   []intake
	source    Source
	store     Store
	history   *history.Log             // nil: none
	connected func(source string) bool // nil: always
	lanes     lanes
	seed      uint64
	retention Retention
	grace     time.Duration
	metrics   *metrics
	feed      *feed
	rejects   *rejects
	strangers strangers
	log       *slog.Logger
	tracer    *trace.Tracer // nil: off

	commits  *committer
	clock    *clock
	batches  sync.Pool // of *batch
	refusing atomic.Pointer[string]
	full     error      // the store was full at the start
	deaf     time.Time  // since when nothing was heard then
	broken   chan error // holds the first fatal error

	// loading is held while the engine is made anew and while the rules change,
	// so that neither happens during the other. It is taken before mu.
	loading sync.Mutex

	// mu is held while judging and while queueing what was decided, never while
	// the disk is waited for. It guards what follows; program and endpoints are
	// changed under loading as well, and may be read under either.
	mu        sync.Mutex
	program   *rules.Program
	endpoints []Endpoint
	engine    *rules.Engine // nil while the state is not known
	gapped    uint64        // the group that timers are written with which a gap has moved: what comes rests on it
	leapt     bool          // there was a gap, and nothing has been decided since
	out       rules.Output
	born      time.Time       // see Options.Born
	limit     int             // of devices; see Options.MaxDevices
	linked    map[string]bool // which sources the engine thinks are heard
	roster    *roster
	ticked    time.Time   // the last tick; zero before the first
	woke      time.Time   // the end of the last gap
	gaps      []gap       // that the log has not been told of
	loaded    bool        // an engine was made before; guarded by loading
	rehearsed atomic.Bool // inputs were judged again, and no snapshot was written since
}

// New makes a bridge and loads its state. [Bridge.Run] starts it.
func New(ctx context.Context, o Options) (*Bridge, error) {
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var taken func(rules.Input)
	if o.History != nil {
		taken = func(in rules.Input) { takeDown(o.History, in) }
	}
	b := &Bridge{
		program: o.Program, endpoints: o.Endpoints, source: o.Source, store: o.Store, history: o.History, connected: o.Connected,
		lanes: lanes{byName: make(map[string]*lane), hosts: make(map[string]*host), hostRate: o.HostRate}, retention: o.Retention, seed: o.Seed, grace: o.Grace, limit: o.MaxDevices, born: o.Born,
		metrics: newMetrics(), feed: newFeed(), rejects: newRejects(o.Log), log: o.Log, tracer: o.Tracer,
		commits: newCommitter(o.Store, taken),
		clock:   newClock(),
		linked:  make(map[string]bool),
		roster:  newRoster(),
		batches: sync.Pool{New: func() any { return new(batch) }},
		broken:  make(chan error, 1),
	}
	for _, d := range o.Decoders {
		b.sources = append(b.sources, intake{
			Decoder:  d,
			accepted: b.metrics.messages.WithLabelValues(d.Name(), "accepted"),
			rejected: b.metrics.messages.WithLabelValues(d.Name(), "rejected"),
			samples:  b.metrics.samples.WithLabelValues(d.Name()),

			connected: !slices.Contains(o.Unattended, d.Name()),
		})
	}
	if err := b.openLanes(ctx, o.Enable); err != nil {
		return nil, err
	}
	from, now := o.LastAlive, b.clock.now()
	if from.IsZero() {
		from = now.Add(-1) // an engine that was never deaf would have listened for ever
	}
	if err := b.load(ctx, from, now); err != nil {
		return nil, err
	}
	if b.engine.Warming() && o.Born.After(o.LastAlive) { // later starts warm up on it still
		b.log.Info("the store is new: whatever an earlier one knew of alarms is not known", "since", o.Born)
	}
	// The timers that the downtime has moved are on disk before this process
	// counts as alive; and a disk that cannot be written is known at once.
	if err := b.writeStart(ctx, from); err != nil {
		return nil, fmt.Errorf("writing to the store: %w", err)
	}
	if o.Registerer != nil {
		for _, c := range append(b.metrics.collectors(), newGauges(b), b.feed.watching, b.feed.dropped) {
			if err := o.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	return b, nil
}

// writeStart commits what loading has changed, or nothing. A full disk is left to
// Run, which refuses messages until there is space.
func (b *Bridge) writeStart(ctx context.Context, from time.Time) error {
	b.deaf = from // if what the downtime has moved is refused, it has to be moved anew
	err := b.commits.write(ctx, b.wakeLanes)
	if err == nil {
		b.deaf = b.clock.now()
		err = b.store.Commit(ctx, Batch{})
	}
	if errors.Is(err, ErrFull) {
		b.full = err
		return nil
	}
	return err
}

// openLanes makes a lane for each endpoint. Endpoints that left the configuration
// keep what they are owed.
func (b *Bridge) openLanes(ctx context.Context, enable []string) error {
	states, err := b.store.Log().Endpoints(ctx)
	if err != nil {
		return fmt.Errorf("reading the endpoints' states: %w", err)
	}
	configured := make(map[string]bool)
	for _, e := range b.endpoints {
		configured[e.Name] = true
		l, err := b.newLane(e, stateOf(states, e.Name), slices.Contains(enable, e.Name))
		if err != nil {
			return err
		}
		b.lanes.put(l)
	}
	for _, s := range states {
		if configured[s.Name] {
			continue
		}
		owed, err := b.owedAnything(ctx, s.Name)
		if err != nil {
			return err
		}
		if owed {
			b.lanes.gone = append(b.lanes.gone, s.Name)
		}
	}
	return nil
}

func stateOf(states []EndpointState, name string) EndpointState {
	for _, s := range states {
		if s.Name == name {
			return s
		}
	}
	return EndpointState{}
}

// newLane makes an endpoint's lane, switched off where the store says that the
// same target was disabled, or that an operator did it.
func (b *Bridge) newLane(e Endpoint, s EndpointState, enable bool) (*lane, error) {
	l := &lane{
		store: b.store, write: b.changed, include: b.include, awaits: b.awaits, firing: b.firing,
		metrics: b.metrics, feed: b.feed, tracer: b.tracer, log: b.log.With("endpoint", e.Name), wake: make(chan struct{}, 1),
	}
	if err := l.restore(time.Now(), s); err != nil {
		return nil, err
	}
	l.state.Name = e.Name
	l.breaker.ramp.draw = drawing(b.seed, e.Name)
	l.endpoint.Store(e.withDefaults())
	l.host.Store(b.lanes.host(e.Host))
	l.bucket.set(e.Rate)
	switch {
	case !s.Disabled:
	case (s.Target == e.Target || l.memo.Paused) && !enable:
		l.log.Warn("endpoint is switched off; what it is owed is kept "+howToEnable, "reason", s.Reason, "since", s.Since)
	default:
		l.enable(time.Now())
	}
	return l, nil
}

// changed has a change of an endpoint written, and what is told of it.
func (b *Bridge) changed(c change) *group {
	if c.event != nil {
		c.event.Endpoints = b.lanes.others(c.event, c.state.Name)
	}
	return b.commits.enqueueChange(c)
}

// addLanes makes lanes for endpoints that are new, and has the lanes of those
// that changed go on with the change.
func (b *Bridge) addLanes(ctx context.Context, endpoints []Endpoint, diff Changes) error {
	if len(diff.Added)+len(diff.Changed) == 0 {
		return nil
	}
	states, err := b.store.Log().Endpoints(ctx)
	if err != nil {
		return fmt.Errorf("reading the endpoints' states: %w", err)
	}
	for _, e := range endpoints {
		switch l := b.lanes.get(e.Name); {
		case slices.Contains(diff.Added, e.Name):
			l, err := b.newLane(e, stateOf(states, e.Name), false)
			if err != nil {
				return err
			}
			b.lanes.put(l)
		case slices.Contains(diff.Changed, e.Name):
			l.change(e, b.lanes.host(e.Host))
		}
	}
	return nil
}

// owedAnything tells of deliveries owed to an endpoint that is not in the
// configuration any more. They stay, and are counted with the others.
func (b *Bridge) owedAnything(ctx context.Context, name string) (bool, error) {
	backlog, err := b.store.Log().Backlog(ctx, name)
	if err != nil {
		return false, fmt.Errorf("reading what endpoint %s is owed: %w", name, err)
	}
	if backlog.Count == 0 {
		return false, nil
	}
	b.log.Warn("deliveries are owed to an endpoint that is not configured; they are kept (configure it again to send them)", "endpoint", name, "owed", backlog.Count)
	return true, nil
}

// Ready says why the bridge cannot accept and store, nothing when it can.
func (b *Bridge) Ready() []string {
	if reason := b.refusing.Load(); reason != nil {
		return []string{*reason}
	}
	return nil
}

// Run bridges until ctx ends or something cannot go on, and then stops in
// order: the source first, so that devices learn at once; then the decisions
// already made are written; then attempts in flight get their grace.
// It returns nil when ctx ended it, and when everything it started has ended.
func (b *Bridge) Run(ctx context.Context) error {
	background := context.WithoutCancel(ctx)
	lanes, stopLanes := context.WithCancel(background)
	commits, stopCommits := context.WithCancel(background)
	intake, stopIntake := context.WithCancel(ctx)
	recording, stopRecording := context.WithCancel(background)
	defer stopRecording()
	defer stopLanes()
	defer stopCommits()
	defer stopIntake()

	var delivering, committing, taking, keeping sync.WaitGroup
	delivering.Go(func() { b.deliver(lanes) })
	committing.Go(func() { b.commitLoop(commits) })
	taking.Go(func() { b.tickLoop(intake) })
	taking.Go(func() { b.trimLoop(intake) })
	taking.Go(func() { b.parkLoop(intake) })
	if b.history != nil {
		keeping.Go(func() { _ = b.history.Run(recording) }) // it logs what goes wrong
		taking.Go(func() { b.snapshotLoop(intake) })
	}
	taking.Go(func() {
		// gofail: var beforeIntake struct{}
		if err := b.source.Run(intake, b.Handle); err != nil && intake.Err() == nil {
			b.fatal(fmt.Errorf("source: %w", err))
		}
	})

	var err error
	select {
	case <-ctx.Done():
	case err = <-b.broken:
	}
	stopping := "stopping"
	b.refusing.Store(&stopping)
	stopIntake()
	b.commits.shutdown()
	taking.Wait()
	stopCommits()
	committing.Wait()
	if b.history != nil {
		if e := b.snapshot(background, true); e != nil {
			b.log.Warn("writing down what is remembered", "error", e)
		}
	}
	stopRecording()
	keeping.Wait()
	stopLanes()
	delivering.Wait()
	if err == nil { // what lanes have learnt since the last commit
		if e := b.commits.write(background, b.wakeLanes); !errors.Is(e, ErrFull) {
			err = e
		}
	}
	b.forget(errStopped) // for whoever came too late
	select {
	case late := <-b.broken:
		if err == nil {
			return late
		}
		b.log.Warn("stopping, and something else cannot go on", "error", late) // mostly of the same cause, which is told once
	default:
	}
	return err
}

// fatal makes Run stop and return err; only the first counts.
func (b *Bridge) fatal(err error) {
	select {
	case b.broken <- err:
	default:
	}
}

// trimLoop forgets what retention allows, once a minute.
func (b *Bridge) trimLoop(ctx context.Context) {
	if b.retention == (Retention{}) {
		return
	}
	every := time.NewTicker(time.Minute)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			var before time.Time
			if b.retention.Age > 0 {
				before = now.Add(-b.retention.Age)
			}
			if err := b.store.Log().Trim(ctx, before, b.retention.Bytes); err != nil && ctx.Err() == nil {
				b.log.Warn("trimming the store", "error", err)
			}
		}
	}
}
