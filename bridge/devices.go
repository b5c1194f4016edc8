package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bridge/history"
	"tocsin/rules"
)

// ErrNoDevice is a device that nobody has heard of.
var ErrNoDevice = errors.New("there is no device")

// A DeviceQuery asks for a part of a list of devices. Its zero value asks for all of
// it, by name.
type DeviceQuery struct {
	rules.DeviceQuery
	Order DeviceOrder
	After string // begins behind the device of this name; only in a list by name
	Skip  int    // leaves out so many first
	Limit int    // 0: no limit
}

// A DeviceOrder is how a list of devices is sorted. Those that are alike are by name.
type DeviceOrder string

const (
	ByName     DeviceOrder = "name"     // the default
	BySeverity DeviceOrder = "severity" // the worst alarm first
	ByHeard    DeviceOrder = "heard"    // the longest silent first
)

func (o DeviceOrder) compare(a, b rules.DeviceEntry) int {
	by := 0
	switch o {
	case BySeverity:
		by = cmp.Compare(b.Severity, a.Severity)
	case ByHeard:
		by = a.Heard.Compare(b.Heard)
	}
	return cmp.Or(by, strings.Compare(a.ID, b.ID))
}

// A DevicePage is a part of a list of devices.
type DevicePage struct {
	Devices []rules.DeviceReport
	Total   int  // in all of the list
	More    bool // there are others behind these
}

// Devices reports on devices. Intake waits while they are looked for, not while they
// are sorted.
func (b *Bridge) Devices(q DeviceQuery) (DevicePage, error) {
	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return DevicePage{}, fmt.Errorf("listing devices: %w", errRefused)
	}
	found := b.engine.Select(q.DeviceQuery)
	b.mu.Unlock()

	slices.SortFunc(found, q.Order.compare)
	page := DevicePage{Total: len(found), Devices: []rules.DeviceReport{}}
	if q.After != "" {
		i, ok := slices.BinarySearchFunc(found, rules.DeviceEntry{ID: q.After}, ByName.compare)
		if ok {
			i++
		}
		found = found[i:]
	}
	found = found[min(q.Skip, len(found)):]
	if q.Limit > 0 && len(found) > q.Limit {
		found, page.More = found[:q.Limit], true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return DevicePage{}, fmt.Errorf("listing devices: %w", errRefused)
	}
	for _, d := range found {
		if r, ok := b.engine.Report(d.ID); ok {
			page.Devices = append(page.Devices, r)
		}
	}
	return page, nil
}

// Device reports on one device; its error is [ErrNoDevice] if there is none.
func (b *Bridge) Device(id string) (rules.DeviceReport, error) {
	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return rules.DeviceReport{}, fmt.Errorf("reporting on %s: %w", id, errRefused)
	}
	r, ok := b.engine.Report(id)
	b.mu.Unlock()
	if !ok {
		return r, b.unheard(id)
	}
	return r, nil
}

// Samples are the newest readings of metrics of a device since a time, at most limit
// of each, oldest first, with one look at the history. There are none where no history
// is kept.
func (b *Bridge) Samples(ctx context.Context, device string, metrics []string, since time.Time, limit int) (map[string][]rules.Point, error) {
	if b.history == nil {
		return map[string][]rules.Point{}, nil
	}
	return b.history.Ranges(ctx, history.RangeQuery{Device: device, Metrics: metrics, From: since, To: b.clock.now().Add(time.Hour), Limit: limit})
}

// A SeriesQuery asks what devices were like in a stretch of time.
type SeriesQuery struct {
	Devices []string
	Metric  string // "": of each device the one that its worst alarm is about, or else the first that is a number
	From    time.Time
	Points  int // buckets that the stretch is cut into
}

// A Series is one metric of one device, by buckets of equal width. What has no
// reading is null.
type Series struct {
	Device string     `json:"device"`
	Metric string     `json:"metric"`
	Unit   string     `json:"unit,omitempty"`
	Low    []*float64 `json:"low"`
	High   []*float64 `json:"high"`
	Last   []*float64 `json:"last"`
}

// A SeriesPage is the answer to a [SeriesQuery].
type SeriesPage struct {
	History bool      // one is kept; without it there are no series
	From    time.Time // of the first bucket
	Step    time.Duration
	Since   time.Time // what was before was too much to be looked at
	Series  []Series  // of the devices that are known and have a metric, as they were asked for
}

// Series reads what devices were like, all of them with one look at the history.
func (b *Bridge) Series(ctx context.Context, q SeriesQuery) (SeriesPage, error) {
	page := SeriesPage{History: b.history != nil, From: q.From, Series: []Series{}}
	var channels []history.Channel
	for _, id := range q.Devices {
		report, err := b.Device(id)
		if err != nil && !errors.Is(err, ErrNoDevice) {
			return page, err
		}
		if v, ok := charted(&report, q.Metric); ok {
			channels = append(channels, history.Channel{Device: id, Metric: v.Metric})
			page.Series = append(page.Series, Series{Device: id, Metric: v.Metric, Unit: v.Unit})
		}
	}
	to := b.clock.now()
	page.Step = max(1, (to.Sub(q.From)+time.Duration(q.Points)-1)/time.Duration(q.Points))
	if b.history == nil || !q.From.Before(to) {
		page.Series = []Series{}
		return page, nil
	}
	found, err := b.history.Series(ctx, history.SeriesQuery{Channels: channels, From: q.From, To: to, Buckets: q.Points})
	if err != nil {
		return page, err
	}
	page.Since = found.Since
	for i := range page.Series {
		s := &page.Series[i]
		s.Low, s.High, s.Last = make([]*float64, q.Points), make([]*float64, q.Points), make([]*float64, q.Points)
		for j := range found.Channels[i] {
			if p := &found.Channels[i][j]; !p.Empty() {
				s.Low[j], s.High[j], s.Last[j] = &p.Low, &p.High, &p.Last
			}
		}
	}
	return page, nil
}

// charted is the reading of a device whose metric a small chart shows.
func charted(r *rules.DeviceReport, metric string) (rules.EventReading, bool) {
	for _, wanted := range []string{cmp.Or(metric, r.Foremost), ""} {
		for _, v := range r.Values {
			_, text := v.Value.(string)
			if !text && (v.Metric == wanted || wanted == "" && metric == "") {
				return v, true
			}
		}
	}
	return rules.EventReading{}, false
}
