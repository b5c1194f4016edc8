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
		Contains string `query:"q" doc:"a part of the name"`
		Presence string `query:"presence" enum:"unknown,online,offline,sleeping,lost" doc:"as it is now"`
		Alarming bool   `query:"alarming" doc:"only those with an alarm that is firing or recovering"`
	}
	type deviceList struct {
		Devices []rules.DeviceReport `json:"devices"`
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
		q := rules.DeviceQuery{After: in.Cursor, Contains: in.Contains, Presence: in.Presence, Alarming: in.Alarming, Limit: in.Limit + 1}
		list, err := c.bridge.Devices(q)
		if err != nil {
			return deviceList{}, err
		}
		page := deviceList{Devices: list}
		if len(list) > in.Limit {
			page.Devices = list[:in.Limit]
			page.Next = list[in.Limit-1].ID
		}
		return page, nil
	})
	reads(c, does{bridge.ScopeRead, "devices/{id}", "Tell all that is known of a device"}, func(ctx context.Context, in *deviceAsked) (deviceDetail, error) {
		report, err := c.bridge.Device(in.ID)
		if err != nil {
			return deviceDetail{}, err
		}
		d := deviceDetail{DeviceReport: report, Samples: map[string][]rules.Point{}}
		for _, v := range report.Values {
			points, err := c.bridge.Samples(ctx, in.ID, v.Metric, time.Now().Add(-time.Hour), 500)
			if err != nil {
				return d, err
			}
			d.Samples[v.Metric] = append([]rules.Point{}, points...) // a list, never null
		}
		d.Rules, err = c.bridge.Explain(in.ID, "")
		return d, err
	})
}

// A Page is which part of a list is asked for.
type Page struct {
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"entries of a page"`
	Cursor string `query:"cursor" doc:"the next of the page before"`
}
