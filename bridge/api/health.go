package api

import (
	"context"
	"slices"
	"strconv"

	"tocsin/bridge"
	"tocsin/rules"
)

// addRules adds what says how rules stand, and why alarms stand as they do.
func (c *control) addRules() {
	type ruleList struct {
		Rules []rules.Health `json:"rules"`
	}
	type asked struct {
		ID string `path:"id" doc:"of the rule"`
	}
	type explaining struct {
		Device string `path:"id" doc:"a device, or the value of a group; percent-encoded"`
		Rule   string `query:"rule" doc:"one rule; left out: all that look at the device"`
	}
	type explanationList struct {
		Alarms []rules.Explanation `json:"alarms"`
	}
	reads(c, does{bridge.ScopeRead, "rules", "List the rules and how they stand"}, func(context.Context, *struct{}) (ruleList, error) {
		list, err := c.bridge.Health()
		return ruleList{list}, err
	})
	reads(c, does{bridge.ScopeRead, "rules/{id}", "Say how a rule stands"}, func(_ context.Context, in *asked) (rules.Health, error) {
		list, err := c.bridge.Health()
		if err != nil {
			return rules.Health{}, err
		}
		i := slices.IndexFunc(list, func(h rules.Health) bool { return h.Rule == in.ID })
		if i < 0 {
			return rules.Health{}, nothing("there is no rule %s (tocsin rules lists them)", strconv.QuoteToASCII(in.ID))
		}
		return list[i], nil
	})
	reads(c, does{bridge.ScopeRead, "devices/{id}/explain", "Say why the alarms of a device stand as they do"}, func(ctx context.Context, in *explaining) (explanationList, error) {
		alarms, err := c.bridge.Explain(ctx, in.Device, in.Rule)
		if err != nil || len(alarms) > 0 {
			return explanationList{alarms}, err
		}
		if u := c.bridge.Unasked(in.Device); in.Device != "" && len(u) == 1 {
			return explanationList{}, nothing("device %q %s", in.Device, u[0].Text())
		}
		if in.Rule != "" {
			return explanationList{}, nothing("rule %q does not look at a device %q, or the device was never heard of (leave the rule out to see what does)", in.Rule, in.Device)
		}
		return explanationList{}, nothing("no rule looks at a device %q, or it was never heard of (check its name, and the devices of your rules)", in.Device)
	})
}
