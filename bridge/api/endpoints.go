package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

// addEndpoints adds what tells of endpoints.
func (c *control) addEndpoints() {
	type endpointList struct {
		Endpoints []EndpointView `json:"endpoints"`
	}
	type endpointAsked struct {
		Name string `path:"name" doc:"of the endpoint"`
	}
	reads(c, does{bridge.ScopeRead, "endpoints", "List the endpoints and how they fare"}, func(ctx context.Context, _ *struct{}) (endpointList, error) {
		list, err := c.endpoints(ctx)
		return endpointList{append([]EndpointView{}, list...)}, err
	})
	c.looks(does{bridge.ScopeRead, "endpoints/{name}", "Say what an endpoint is, and how it fares"}, func(op huma.Operation) {
		huma.Register(c.api, op, func(ctx context.Context, in *endpointAsked) (*versioned[EndpointView], error) {
			v, err := c.endpoint(ctx, in.Name)
			if err != nil {
				return nil, asProblem(err)
			}
			return &versioned[EndpointView]{etag(&v), v}, nil
		})
	})
	type endpointActed struct {
		Caller
		Name string `path:"name" doc:"of the endpoint"`
	}
	acts(c, does{bridge.ScopeOps, "endpoints/{name}/test", "Send an endpoint a test.ping, as everything else is sent"}, func(ctx context.Context, in *endpointActed) (Tested, error) {
		reply, err := c.bridge.Test(ctx, in.Name)
		err = c.orHeld(in.Name, err)
		c.audit(&in.Caller, err)
		if err != nil {
			return Tested{}, err
		}
		return testedOf(&reply.Result), nil
	})
	type disabling struct {
		Caller
		Name string `path:"name" doc:"of the endpoint"`
		Body *struct {
			By     string `json:"by,omitempty" maxLength:"1000" doc:"who does it; left out: the name of the token"`
			Reason string `json:"reason,omitempty" maxLength:"1000" doc:"why, for whoever looks at it later"`
		}
	}
	acts(c, does{bridge.ScopeOps, "endpoints/{name}/disable", "Send an endpoint nothing until it is enabled; what it is owed is kept"}, func(ctx context.Context, in *disabling) (struct{}, error) {
		reason, by := "switched off by an operator", ""
		if in.x.by.id != "" {
			by = in.x.by.name
		}
		if in.Body != nil {
			reason, by = cmp.Or(in.Body.Reason, reason), cmp.Or(in.Body.By, by)
		}
		if by != "" {
			reason += ", by " + by
		}
		err := c.orHeld(in.Name, c.bridge.Pause(ctx, in.Name, reason))
		c.audit(&in.Caller, err, "reason", reason)
		return struct{}{}, err
	})
	type enabling struct {
		Caller
		Name string `path:"name" doc:"of the endpoint"`
		Body *struct {
			Send   bridge.Resumption `json:"send,omitempty" enum:"all,latest,discard" doc:"what is sent of what is owed: all of it (the default), the newest state of each alarm, or nothing"`
			DryRun bool              `json:"dry_run,omitempty" doc:"change nothing, only count what would be discarded"`
		}
	}
	type endpointEnabled struct {
		Discarded int `json:"discarded" doc:"deliveries that are not sent"`
	}
	acts(c, does{bridge.ScopeOps, "endpoints/{name}/enable", "Switch an endpoint on"}, func(ctx context.Context, in *enabling) (endpointEnabled, error) {
		what, dry := bridge.ResumeAll, false
		if in.Body != nil {
			what, dry = cmp.Or(in.Body.Send, bridge.ResumeAll), in.Body.DryRun
		}
		n, err := c.bridge.Enable(ctx, in.Name, what, dry)
		err = c.orHeld(in.Name, err)
		if dry {
			in.onlyAsks()
			return endpointEnabled{n}, err
		}
		c.audit(&in.Caller, err, "send", string(what), "discarded", strconv.Itoa(n))
		return endpointEnabled{n}, err
	})
}

// Tested is how an endpoint answered a test.
type Tested struct {
	Accepted   bool      `json:"accepted"`
	Verdict    string    `json:"verdict" enum:"accepted,retry,refused,gone" doc:"what the answer would mean for an event"`
	Status     int       `json:"status,omitempty"`
	Error      string    `json:"error,omitempty"`
	Took       string    `json:"took"`
	Lookup     string    `json:"lookup,omitempty" doc:"of the host's addresses"`
	Connect    string    `json:"connect,omitempty"`
	TLS        string    `json:"tls,omitempty" doc:"the handshake"`
	Answer     string    `json:"answer,omitempty" doc:"from the request's last byte to the answer's first"`
	Address    string    `json:"address,omitempty" doc:"what was connected to"`
	TLSVersion string    `json:"tls_version,omitempty"`
	CertExpiry time.Time `json:"certificate_expiry,omitzero"`
	Skew       string    `json:"clock_skew,omitempty" doc:"how far the receiver's clock is ahead of ours; negative: behind"`
	RetryAfter string    `json:"retry_after,omitempty"`
	Body       string    `json:"body,omitempty" doc:"the beginning of the answer: another's text, not to be trusted"`
}

func testedOf(r *webhook.Result) Tested {
	t := Tested{
		Accepted: r.Verdict == webhook.Accepted, Verdict: r.Verdict.String(), Status: r.Status, Took: r.Took.String(),
		CertExpiry: r.CertExpiry, Body: strings.ToValidUTF8(string(r.Body), "\uFFFD"),
	}
	if r.Err != nil {
		t.Error = r.Err.Error()
	}
	if r.Addr.IsValid() {
		t.Address = r.Addr.String()
	}
	if r.TLSVersion != 0 {
		t.TLSVersion = tls.VersionName(r.TLSVersion)
	}
	for _, d := range []struct {
		to *string
		d  time.Duration
	}{
		{&t.Lookup, r.Timing.Lookup}, {&t.Connect, r.Timing.Connect}, {&t.TLS, r.Timing.TLS}, {&t.Answer, r.Timing.Answer},
		{&t.Skew, r.Skew}, {&t.RetryAfter, r.RetryAfter},
	} {
		if d.d != 0 {
			*d.to = d.d.String()
		}
	}
	return t
}
