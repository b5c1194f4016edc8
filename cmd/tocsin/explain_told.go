package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"tocsin/bridge/api"
	"tocsin/rules"
)

// A telling is what became of telling one endpoint of an alarm that fires; its
// names are public.
type telling struct {
	Alarm    string `json:"alarm"`
	Endpoint string `json:"endpoint"`
	Text     string `json:"text"`
}

// maxTold is how many alarms are looked up in the log of deliveries.
const maxTold = 20

// tellings asks what became of telling each endpoint of the alarms that fire and
// are not muted.
func (c *apiClient) tellings(ctx context.Context, alarms []rules.Explanation) ([]telling, error) {
	all := []telling{} // a list, never null
	var ends *endpointList
	asked := 0
	for i := range alarms {
		x := &alarms[i]
		if x.Severity == rules.Unset || x.Muted != "" || x.State == "pending" || asked == maxTold {
			continue
		}
		asked++
		if ends == nil {
			ends = new(endpointList)
			if err := c.ask(ctx, []string{"endpoints"}, nil, ends); err != nil {
				return nil, err
			}
		}
		var log struct{ Deliveries []api.DeliveryView }
		if err := c.ask(ctx, []string{"deliveries"}, url.Values{"alarm": {x.Key}, "limit": {"100"}}, &log); err != nil {
			return nil, err
		}
		for j := range ends.Endpoints {
			end := &ends.Endpoints[j]
			text := "it was not told: its match did not select this, or the rule notifies others"
			at := slices.IndexFunc(log.Deliveries, func(d api.DeliveryView) bool {
				return d.Endpoint == end.Name && !d.At.Before(x.Since)
			})
			switch {
			case at >= 0:
				text = tellingOf(&log.Deliveries[at])
			case slices.Contains(x.Told, end.Name):
				text = "nothing of this is in the log of deliveries: it is in a digest, or it was long ago"
			}
			if note := endpointNote(end); end.Condition != "active" || note != "" && at < 0 {
				text += "; the endpoint is " + end.Condition
				if note != "" {
					text += ": " + note
				}
			}
			all = append(all, telling{x.Key, end.Name, text})
		}
	}
	return all, nil
}

// tellingOf is how a delivery fares, in a few words.
func tellingOf(d *api.DeliveryView) string {
	text := fmt.Sprintf("%s %s", d.Type, d.State)
	if d.Tries > 0 {
		text += fmt.Sprintf(" after %s: %s", count(d.Tries, "attempt"), answerOf(d))
	}
	if !d.Due.IsZero() {
		text += ", next at " + stamped(d.Due)
	}
	return text
}

// isMissing reports whether a bridge answered that there is no such thing.
func isMissing(err error) bool {
	said := (*answered)(nil)
	return errors.As(err, &said) && said.Status == http.StatusNotFound
}

// ask reads what the bridge answers at a path.
func (c *apiClient) ask(ctx context.Context, path []string, query url.Values, into any) error {
	answer, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
	}
	return nil
}

// unexplained finds out why there is nothing to explain: err, where that cannot be
// found out.
func (c *apiClient) unexplained(ctx context.Context, args []string, err error) error {
	var list rejected
	if c.ask(ctx, []string{"rejects"}, nil, &list) == nil {
		for i := range list.Unasked {
			if u := &list.Unasked[i]; u.Device == args[0] {
				return fmt.Errorf("device %q %s", u.Device, u.Text)
			}
		}
	}
	_, deviceErr := c.do(ctx, http.MethodGet, []string{"devices", args[0]}, nil, nil)
	if len(args) == 2 {
		var rule rules.Health
		switch ruleErr := c.ask(ctx, []string{"rules", args[1]}, nil, &rule); {
		case isMissing(ruleErr):
			return fmt.Errorf("there is no rule %q (tocsin rules lists them)", args[1])
		case ruleErr != nil:
			return err
		case !isMissing(deviceErr):
			return fmt.Errorf("rule %q does not look at %q: it is not among its devices, or never sent what the rule judges (the rule is at %s; tocsin devices %s shows what it sends)", args[1], args[0], rule.Source, args[0])
		}
	}
	if isMissing(deviceErr) {
		return fmt.Errorf("the bridge never heard of a device %q (tocsin devices lists those that it knows, tocsin rejected what it could not take, and tocsin tail shows what arrives: is what it sends named as a rule or [metric] names it?)", args[0])
	}
	if len(args) == 1 {
		return fmt.Errorf("no rule looks at %q: it is among the devices of none, or never sent what they judge (tocsin devices %s shows what it sends, tocsin rules what they ask)", args[0], args[0])
	}
	return err
}
