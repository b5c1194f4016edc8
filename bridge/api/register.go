package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

// A Registrar knows what endpoints are made of, and registers more of them. Without
// its functions there are no such routes.
type Registrar struct {
	// Facts are what is known of every endpoint, by name, beside how it fares.
	Facts func() map[string]EndpointFacts

	Register func(ctx context.Context, by string, r *Registering) (Registered, error)
	// Change changes one whose version is ifMatch, "" for whichever it is.
	Change func(ctx context.Context, by, ifMatch, name string, c *Changing) (Registered, error)
	Rotate func(ctx context.Context, by, name string, r *Rotating) (Registered, error)
	Remove func(ctx context.Context, name string, discard bool) (Removed, error)
}

// A Declined is why a request about an endpoint is not carried out.
type Declined struct {
	Status int // of the answer
	Text   string
}

func (d *Declined) Error() string { return d.Text }

// EndpointFacts are what is known of an endpoint beside how it fares. No secret is
// among them.
type EndpointFacts struct {
	Owner       string             `json:"owner,omitempty" enum:"configuration,registration" doc:"who may change it: whoever writes the configuration, or whoever may register; left out where it is neither's any more"`
	Place       string             `json:"place,omitempty" doc:"file and line, of one in the configuration"`
	Description string             `json:"description,omitempty"`
	URL         string             `json:"url,omitempty" doc:"up to its host, for the rest may be what lets in"`
	Preset      string             `json:"preset,omitempty"`
	Types       []string           `json:"types,omitempty" doc:"of the events that it is told of; none: those of alarms"`
	Severity    []string           `json:"severity,omitempty"`
	Labels      map[string]string  `json:"labels,omitempty"`
	Sign        []string           `json:"sign,omitempty" doc:"how what it is sent is signed"`
	Parameters  []string           `json:"parameters,omitempty" doc:"names of those of the preset that are set"`
	Headers     []string           `json:"headers,omitempty" doc:"names of those that are sent with every request"`
	Secrets     []SecretFacts      `json:"secrets,omitempty" doc:"to sign with, the newest first"`
	Registered  *RegistrationFacts `json:"registered,omitempty"`
}

// SecretFacts are what may be known of a secret.
type SecretFacts struct {
	NotAfter time.Time `json:"not_after,omitzero" doc:"it signs until then; left out: it goes on"`
}

// RegistrationFacts are how an endpoint came to be registered.
type RegistrationFacts struct {
	At       time.Time `json:"at"`
	By       string    `json:"by" doc:"name of the token"`
	Changed  time.Time `json:"changed,omitzero"`
	Changer  string    `json:"changed_by,omitempty"`
	Verified time.Time `json:"verified,omitzero" doc:"when its receiver proved that it wants to be one"`
	Version  string    `json:"version" doc:"changes with every change: what If-Match compares"`
	Held     string    `json:"held,omitempty" doc:"why nothing is sent to it as things stand"`
}

// An EndpointView is an endpoint as it is shown.
type EndpointView struct {
	bridge.EndpointStatus
	EndpointFacts
}

// A Registered is what became of a registration or a change.
type Registered struct {
	Name   string
	Secret webhook.Credential // a new one, to be shown this once
	Said   []string           // for the audit log: pairs, without secrets
}

// A HiddenText is a secret in a request.
type HiddenText struct{ webhook.Credential }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HiddenText) UnmarshalText(b []byte) error {
	h.Credential = webhook.NewCredential(string(b))
	return nil
}

// Schema implements huma.SchemaProvider.
func (h HiddenText) Schema(huma.Registry) *huma.Schema {
	most := 1000
	return &huma.Schema{Type: huma.TypeString, WriteOnly: true, MaxLength: &most, Description: "never shown again"}
}

// EndpointWords are what may be said of an endpoint over HTTP. What is left out is
// the default, or stays as it is.
type EndpointWords struct {
	URL         *string           `json:"url,omitempty" maxLength:"4096" doc:"https, to a public address; left out: the preset's"`
	Types       []string          `json:"types,omitempty" maxItems:"100" doc:"of the events that it is told of, with * for any characters; none: those of alarms"`
	Severity    []string          `json:"severity,omitempty" maxItems:"10" doc:"of the alarms; none: any"`
	Labels      map[string]string `json:"labels,omitempty" doc:"of device or rule, with * for any characters"`
	Description *string           `json:"description,omitempty" maxLength:"1000" doc:"for people"`
	Preset      *string           `json:"preset,omitempty" maxLength:"64" doc:"how it wants to be told; left out: standard"`
	Region      *string           `json:"region,omitempty" maxLength:"64" doc:"of a preset that has several"`
	With        map[string]any    `json:"with,omitempty" doc:"parameters of the preset: texts, numbers, true or false"`
	Payload     *string           `json:"payload,omitempty" maxLength:"16" doc:"whole or thin"`
	Link        *string           `json:"link,omitempty" maxLength:"4096" doc:"where people look alarms up"`
	Sign        []string          `json:"sign,omitempty" maxItems:"10" doc:"how what it is sent is signed"`
	Headers     map[string]string `json:"headers,omitempty" doc:"X-…, sent with every request; they are not kept secret"`
	Rate        *string           `json:"rate,omitempty" maxLength:"32" doc:"of attempts at most, as 30/m"`
	Verify      *bool             `json:"verify,omitempty" doc:"have the receiver prove first that it wants to be one: it is sent a challenge, and answers with it"`
}

// A Registering is the body that registers an endpoint.
type Registering struct {
	EndpointWords
	Name   string     `json:"name,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]*$" doc:"left out: one is made of the host"`
	Secret HiddenText `json:"secret,omitzero" doc:"to sign with; left out: one is made and shown this once"`
}

// A Changing is the body that changes one.
type Changing struct {
	EndpointWords
	Disabled *bool `json:"disabled,omitempty" doc:"true: nothing is sent until it is false again; what it is owed is kept"`
}

// A Rotating is the body that gives an endpoint another secret.
type Rotating struct {
	Secret HiddenText `json:"secret,omitzero" doc:"the new one; left out: one is made and shown this once"`
	Keep   string     `json:"keep,omitempty" maxLength:"16" doc:"how long the old ones sign as well, as 24h (the default), 7d at most"`
}

// An EndpointMade is a registered endpoint, with the secret that was made for it.
type EndpointMade struct {
	EndpointView
	Secret string `json:"secret,omitempty" doc:"what messages are signed with, which is shown this once"`
}

// A Removed is what became of what an endpoint was owed.
type Removed struct {
	Discarded int `json:"discarded" doc:"deliveries that are not sent"`
	Owed      int `json:"owed" doc:"deliveries that were under way, or came in between: discard ends them"`
}

// A versioned answer says which version it is of.
type versioned[T any] struct {
	ETag string `header:"ETag" doc:"the version, for If-Match; of registered endpoints"`
	Body T
}

// endpoints are all of them, by name.
func (c *control) endpoints(ctx context.Context) ([]EndpointView, error) {
	statuses, err := c.bridge.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	facts := map[string]EndpointFacts{}
	if c.registrar.Facts != nil {
		facts = c.registrar.Facts()
	}
	return viewed(statuses, facts), nil
}

// endpoint is one of them.
func (c *control) endpoint(ctx context.Context, name string) (EndpointView, error) {
	list, err := c.endpoints(ctx)
	if err != nil {
		return EndpointView{}, err
	}
	for i := range list {
		if list[i].Name == name {
			return list[i], nil
		}
	}
	return EndpointView{}, nothing("there is no endpoint %q (tocsin endpoints lists them)", name)
}

// orHeld is an error about an endpoint, which is not simply missing where it is held:
// the list shows it.
func (c *control) orHeld(name string, err error) error {
	if c.registrar.Facts == nil || !errors.Is(err, bridge.ErrNoEndpoint) {
		return err
	}
	if f := c.registrar.Facts()[name].Registered; f != nil && f.Held != "" {
		return conflict("nothing is sent to endpoint %s as things stand: %s", name, f.Held)
	}
	return err
}

// etag is a version as headers have it.
func etag(v *EndpointView) string {
	if v.Registered == nil {
		return ""
	}
	return strconv.Quote(v.Registered.Version)
}

// addRegistration adds what registers endpoints.
func (c *control) addRegistration() {
	if c.registrar.Register == nil {
		return
	}
	type registering struct {
		Caller
		Body Registering
	}
	type registered struct {
		Location string `header:"Location" doc:"path of the endpoint"`
		ETag     string `header:"ETag" doc:"the version, for If-Match"`
		Body     EndpointMade
	}
	c.writes(does{bridge.ScopeAdmin, "endpoints", "Register an endpoint"}, http.MethodPost, http.StatusCreated, func(op huma.Operation) {
		huma.Register(c.api, op, func(ctx context.Context, in *registering) (*registered, error) {
			made, err := c.registrar.Register(ctx, in.x.by.name, &in.Body)
			v, err := c.registered(ctx, &in.Caller, made, err)
			if err != nil {
				return nil, asProblem(err)
			}
			return &registered{prefix + "endpoints/" + made.Name, v.ETag, v.Body}, nil
		})
	})
	type changing struct {
		Caller
		Name  string `path:"name" doc:"of the endpoint"`
		Match string `header:"If-Match" doc:"only the version that has this ETag is changed"`
		Body  Changing
	}
	c.writes(does{bridge.ScopeAdmin, "endpoints/{name}", "Change a registered endpoint"}, http.MethodPatch, http.StatusOK, func(op huma.Operation) {
		huma.Register(c.api, op, func(ctx context.Context, in *changing) (*versioned[EndpointMade], error) {
			made, err := c.registrar.Change(ctx, in.x.by.name, in.Match, in.Name, &in.Body)
			err = c.orHeld(in.Name, err)
			v, err := c.registered(ctx, &in.Caller, made, err)
			return v, asProblem(err)
		})
	})
	type rotating struct {
		Caller
		Name string `path:"name" doc:"of the endpoint"`
		Body *Rotating
	}
	c.writes(does{bridge.ScopeAdmin, "endpoints/{name}/rotate", "Give a registered endpoint another secret; the old one signs as well for a while"}, http.MethodPost, http.StatusOK, func(op huma.Operation) {
		huma.Register(c.api, op, func(ctx context.Context, in *rotating) (*versioned[EndpointMade], error) {
			if in.Body == nil {
				in.Body = &Rotating{}
			}
			made, err := c.registrar.Rotate(ctx, in.x.by.name, in.Name, in.Body)
			v, err := c.registered(ctx, &in.Caller, made, err)
			return v, asProblem(err)
		})
	})
	type removing struct {
		Caller
		Name    string `path:"name" doc:"of the endpoint"`
		Discard bool   `query:"discard" doc:"do not send it what it is owed; without it an endpoint that is owed something is not removed"`
	}
	c.writes(does{bridge.ScopeAdmin, "endpoints/{name}", "Remove a registered endpoint"}, http.MethodDelete, http.StatusOK, func(op huma.Operation) {
		huma.Register(c.api, op, func(ctx context.Context, in *removing) (*answer[Removed], error) {
			removed, err := c.registrar.Remove(ctx, in.Name, in.Discard)
			c.audit(&in.Caller, err, "discarded", strconv.Itoa(removed.Discarded), "owed", strconv.Itoa(removed.Owed))
			if err != nil {
				return nil, asProblem(err)
			}
			return &answer[Removed]{removed}, nil
		})
	})
}

// writes describes a route that changes something and answers with headers of its own.
func (c *control) writes(d does, method string, status int, add func(huma.Operation)) {
	op := huma.Operation{Method: method, DefaultStatus: status, Metadata: map[string]any{changesSomething: true}}
	c.describe(&op, d, huma.GenerateOperationID(method, d.path, (*EndpointView)(nil)))
	if method == http.MethodPatch {
		op.Responses[strconv.Itoa(http.StatusPreconditionFailed)] = &huma.Response{
			Description: http.StatusText(http.StatusPreconditionFailed), Content: op.Responses[strconv.Itoa(http.StatusConflict)].Content,
		}
	}
	add(op)
}

// looks describes a route that reads and answers with headers of its own.
func (c *control) looks(d does, add func(huma.Operation)) {
	op := huma.Operation{Method: http.MethodGet}
	c.describe(&op, d, huma.GenerateOperationID(op.Method, d.path, (*EndpointView)(nil)))
	add(op)
}

// registered answers for a registration: what was said of it is in the audit log.
func (c *control) registered(ctx context.Context, by *Caller, made Registered, err error) (*versioned[EndpointMade], error) {
	c.audit(by, err, append([]string{"name", made.Name}, made.Said...)...)
	if err != nil {
		return nil, err
	}
	v, err := c.endpoint(ctx, made.Name)
	if err != nil {
		return nil, err
	}
	return &versioned[EndpointMade]{etag(&v), EndpointMade{v, made.Secret.Reveal()}}, nil
}

// viewed joins how endpoints fare with what is known of them. One that is held is
// told nothing, so there is nothing to say of how it fares.
func viewed(statuses []bridge.EndpointStatus, facts map[string]EndpointFacts) []EndpointView {
	list := make([]EndpointView, 0, len(statuses))
	add := func(s bridge.EndpointStatus) {
		f := facts[s.Name]
		if f.Registered != nil && f.Registered.Held != "" {
			s.Condition, s.Reason = "unconfigured", f.Registered.Held
		}
		list = append(list, EndpointView{s, f})
	}
	known := make(map[string]bool, len(statuses))
	for i := range statuses {
		known[statuses[i].Name] = true
		add(statuses[i])
	}
	for name := range facts {
		if !known[name] {
			add(bridge.EndpointStatus{Name: name, Condition: "unconfigured"})
		}
	}
	slices.SortFunc(list, func(a, b EndpointView) int { return strings.Compare(a.Name, b.Name) })
	return list
}
