package api

import (
	"context"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// addDevices adds what tells of devices.
func (c *control) addDevices() {
	type deviceListing struct {
		Page
		Skip     int    `query:"skip" minimum:"0" doc:"leaves out so many first; in a list that is not by name there is no cursor"`
		Order    string `query:"order" enum:"name,severity,heard" default:"name" doc:"by name, the worst alarm first, or the longest silent first"`
		Contains string `query:"q" doc:"a part of the name"`
		Presence string `query:"presence" enum:"unknown,online,offline,sleeping,lost" doc:"as it is now"`
		Alarming bool   `query:"alarming" doc:"only those with an alarm that is firing or recovering"`
	}
	type deviceList struct {
		Devices []rules.DeviceReport `json:"devices"`
		Total   int                  `json:"total" doc:"how many match, on all pages"`
		Next    string               `json:"next,omitempty" doc:"the cursor of the next page; left out on the last one"`
	}
	type deviceAsked struct {
		ID string `path:"id" doc:"percent-encoded"`
	}
	type deviceDetail struct {
		rules.DeviceReport
		Samples map[string][]rules.Point `json:"samples" doc:"the readings of the last hour by metric, oldest first, 500 at most, each [time, value]"`
		Rules   []rules.Explanation      `json:"rules" doc:"why the alarms of the device stand as they do"`
	}
	reads(c, does{bridge.ScopeRead, "devices", "List devices"}, func(_ context.Context, in *deviceListing) (deviceList, error) {
		order := bridge.DeviceOrder(in.Order)
		if in.Cursor != "" && order != bridge.ByName {
			return deviceList{}, badRequest("a cursor belongs to a list by name (leave order out, or use skip)")
		}
		found, err := c.bridge.Devices(bridge.DeviceQuery{
			DeviceQuery: rules.DeviceQuery{Contains: in.Contains, Presence: in.Presence, Alarming: in.Alarming},
			Order:       order, After: in.Cursor, Skip: in.Skip, Limit: in.Limit,
		})
		if err != nil {
			return deviceList{}, err
		}
		page := deviceList{Devices: found.Devices, Total: found.Total}
		if found.More && order == bridge.ByName && len(found.Devices) > 0 {
			page.Next = found.Devices[len(found.Devices)-1].ID
		}
		return page, nil
	})
	reads(c, does{bridge.ScopeRead, "devices/{id}", "Tell all that is known of a device"}, func(ctx context.Context, in *deviceAsked) (deviceDetail, error) {
		report, err := c.bridge.Device(in.ID)
		if err != nil {
			return deviceDetail{}, err
		}
		d := deviceDetail{DeviceReport: report, Samples: map[string][]rules.Point{}}
		var metrics []string
		for _, v := range report.Values {
			metrics = append(metrics, v.Metric)
		}
		points, err := c.bridge.Samples(ctx, in.ID, metrics, time.Now().Add(-time.Hour), 500)
		if err != nil {
			return d, err
		}
		for _, metric := range metrics {
			d.Samples[metric] = append([]rules.Point{}, points[metric]...) // a list, never null
		}
		d.Rules, err = c.bridge.Explain(ctx, in.ID, "")
		return d, err
	})
}

// addSeries adds what small charts are drawn from.
func (c *control) addSeries() {
	type seriesAsked struct {
		Devices []string  `query:"device,explode" required:"true" minItems:"1" maxItems:"100" doc:"their ids, each by itself: device=a&device=b"`
		Metric  string    `query:"metric" doc:"left out: of each device the one that its worst alarm is about, or else the first that is a number"`
		Since   time.Time `query:"since" doc:"an hour ago, unless another time is given; a day at most"`
		Points  int       `query:"points" default:"60" minimum:"2" maximum:"240" doc:"parts that the time is cut into"`
	}
	type seriesList struct {
		History bool            `json:"history" doc:"false where no history is kept: there are no series then"`
		From    time.Time       `json:"from" doc:"when the first part begins"`
		Step    string          `json:"step" doc:"how long a part is"`
		Since   time.Time       `json:"complete_since,omitzero" doc:"before that, there was more than is looked at for one answer"`
		Series  []bridge.Series `json:"series" doc:"of the devices that are known and have a metric to show"`
	}
	reads(c, does{bridge.ScopeRead, "series", "Show what devices were like, for small charts of many"}, func(ctx context.Context, in *seriesAsked) (seriesList, error) {
		now := time.Now()
		if in.Since.IsZero() {
			in.Since = now.Add(-time.Hour)
		}
		if now.Sub(in.Since) > 24*time.Hour+time.Minute || in.Since.After(now) {
			return seriesList{}, badRequest("since: %s is not within the last day (ask for a later time)", in.Since.Format(time.RFC3339))
		}
		ctx, cancel := context.WithTimeout(ctx, seriesWithin)
		defer cancel()
		done, err := c.turn(ctx)
		if err != nil {
			return seriesList{}, err
		}
		defer done()
		page, err := c.bridge.Series(ctx, bridge.SeriesQuery{Devices: in.Devices, Metric: in.Metric, From: in.Since, Points: in.Points})
		list := seriesList{History: page.History, From: page.From, Step: page.Step.String(), Series: page.Series}
		if page.Since.After(page.From) {
			list.Since = page.Since
		}
		return list, err
	})
}

// seriesWithin bounds how long one answer may read the history.
const seriesWithin = 5 * time.Second

// A Page is which part of a list is asked for.
type Page struct {
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"entries of a page"`
	Cursor string `query:"cursor" doc:"the next of the page before"`
}
