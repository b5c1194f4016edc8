package main

import (
	"context"

	"tocsin/bridge/config"
)

// examineTracing sends the collector a request without spans, with its headers. What
// is wrong with it keeps nobody from being told of an alarm.
func examineTracing(ctx context.Context, cfg *config.Config, f doctorFlags) []finding {
	const place = "tracing"
	t, err := openTracer(cfg, nil, nil)
	switch {
	case err != nil:
		return []finding{{wrong, place, err.Error(), "correct it in " + cfg.Path}}
	case t == nil:
		return nil
	}
	ctx, cancel := f.within(ctx)
	defer cancel()
	if err := t.Probe(ctx); err != nil {
		fact, remedy := cutRemedy("the collector: " + err.Error())
		return []finding{{suspect, place, fact, remedy}}
	}
	return []finding{{fine, place, "the collector takes spans", ""}}
}
