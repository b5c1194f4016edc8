package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tocsin/bridge"
	"tocsin/rules"
)

// prefix is what the routes that act on the bridge begin with.
const prefix = "/api/v1/"

const maxBody = 64 << 10

// control answers under prefix, and describes itself. It is reached only by
// whoever may.
type control struct {
	bridge  *bridge.Bridge
	reload  func(context.Context) (Reloaded, error)
	plan    func(ctx context.Context, config string) (Planned, error)
	foreign *http.CrossOriginProtection
	log     *slog.Logger

	mux      *http.ServeMux
	api      huma.API
	document func() ([]byte, error) // OpenAPI 3.1, as YAML
}

func newControl(o *Options, log *slog.Logger) *control {
	c := &control{
		bridge: o.Bridge, reload: o.Reload, plan: o.Plan, log: log,
		foreign: http.NewCrossOriginProtection(), mux: http.NewServeMux(),
	}
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	// A point of a chart is written as [time, value].
	schemas.RegisterTypeAlias(reflect.TypeFor[rules.Point](), reflect.TypeFor[[2]any]())
	c.api = humago.New(c.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Tocsin", Version: "1",
				Description: "What a running bridge can be asked and told.",
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas:         schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{wording},
	})
	c.addAlarms()
	c.addRules()
	c.addDevices()
	c.addEndpoints()
	c.addDeliveries()
	c.addConfiguration()
	c.document = sync.OnceValues(c.api.OpenAPI().YAML)
	return c
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A page of another origin must not act through a browser that can reach us.
	if err := c.foreign.Check(r); err != nil {
		problem(w, http.StatusForbidden, "the request comes from a web page of another origin (send it from a program, or from a page of this server)")
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path { // the mux would redirect it
		problem(w, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(r.URL.Path))
		return
	}
	r = whole(r)
	answer, pattern := c.mux.Handler(r)
	if pattern != "" {
		c.mux.ServeHTTP(w, r) // which also sets what the path holds
		return
	}
	var refused refusal
	answer.ServeHTTP(&refused, r)
	if allow := refused.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		problem(w, http.StatusMethodNotAllowed, "only "+allow+" is answered here")
		return
	}
	problem(w, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(r.URL.Path))
}

// serveDocument answers with what the routes are.
func (c *control) serveDocument(w http.ResponseWriter, _ *http.Request) {
	text, err := c.document()
	if err != nil {
		problem(w, http.StatusInternalServerError, "the description of the routes: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/openapi+yaml")
	_, _ = w.Write(text)
}

// A refusal is what the mux would say of a request that it has no route for.
type refusal struct{ header http.Header }

func (f *refusal) Header() http.Header {
	if f.header == nil {
		f.header = make(http.Header)
	}
	return f.header
}

func (*refusal) Write(b []byte) (int, error) { return len(b), nil }
func (*refusal) WriteHeader(int)             {}

// verbs are the last parts of paths that act on, or ask about, what stands before.
var verbs = [...]string{"ack", "unack", "shelve", "unshelve", "reset", "explain"}

// whole makes one part of the path of a key or a device that has slashes of its
// own, as those of alarms do, and was written as it is.
func whole(r *http.Request) *http.Request {
	rest, under := strings.CutPrefix(r.URL.Path, prefix)
	kind, name, named := strings.Cut(rest, "/")
	if !under || !named || name == "" || kind != "alarms" && kind != "devices" {
		return r
	}
	verb := ""
	if i := strings.LastIndexByte(name, '/'); i > 0 && slices.Contains(verbs[:], name[i+1:]) && (kind == "devices" || r.Method != http.MethodGet) {
		name, verb = name[:i], name[i:]
	}
	u := *r.URL
	u.RawPath = prefix + kind + "/" + url.PathEscape(name) + verb
	if u.RawPath == r.URL.EscapedPath() {
		return r
	}
	r = r.Clone(r.Context())
	r.URL = &u
	return r
}

// A Caller is who asks, for the log of what was changed. It is part of the input
// of every route that changes something.
type Caller struct {
	from, path string
}

// Resolve implements huma.Resolver.
func (c *Caller) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	c.from, c.path = ctx.RemoteAddr(), u.Path
	return nil
}

// audit logs who changed what.
func (c *control) audit(by *Caller, err error, attrs ...any) {
	attrs = append([]any{"path", by.path, "from", by.from}, attrs...)
	if err != nil {
		c.log.Warn("request not carried out", append(attrs, "error", err)...)
		return
	}
	c.log.Info("request carried out", attrs...)
}

// An answer is the body of a response.
type answer[T any] struct{ Body T }

// reads adds a route that reads.
func reads[I, O any](c *control, path, does string, do func(context.Context, *I) (O, error)) {
	route(c, huma.Operation{Method: http.MethodGet, Path: prefix + path, Summary: does}, do)
}

// acts adds a route that changes something, or takes a body to ask.
func acts[I, O any](c *control, path, does string, do func(context.Context, *I) (O, error)) {
	route(c, huma.Operation{Method: http.MethodPost, Path: prefix + path, Summary: does}, do)
}

func route[I, O any](c *control, op huma.Operation, do func(context.Context, *I) (O, error)) {
	op.OperationID = huma.GenerateOperationID(op.Method, strings.TrimPrefix(op.Path, prefix), (*O)(nil))
	op.Tags = []string{strings.SplitN(strings.TrimPrefix(op.Path, prefix), "/", 2)[0]}
	op.MaxBodyBytes = maxBody
	op.Errors = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}
	if strings.Contains(op.Path, "{") {
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	if reflect.TypeFor[O]() == reflect.TypeFor[struct{}]() {
		op.DefaultStatus = http.StatusNoContent
		huma.Register(c.api, op, func(ctx context.Context, in *I) (*struct{}, error) {
			_, err := do(ctx, in)
			return nil, asProblem(err)
		})
		return
	}
	huma.Register(c.api, op, func(ctx context.Context, in *I) (*answer[O], error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, asProblem(err)
		}
		return &answer[O]{out}, nil
	})
}

// A failure is the problem document of an error.
type failure struct {
	problemDocument
	Problems []Problem `json:"problems,omitempty"`
}

// Error implements error.
func (f *failure) Error() string { return f.Detail }

// GetStatus implements huma.StatusError.
func (f *failure) GetStatus() int { return f.Status }

// ContentType implements huma.ContentTypeFilter.
func (f *failure) ContentType(string) string { return problemJSON }

// asProblem is err as it is answered.
func asProblem(err error) error {
	var (
		rejected *Rejected
		status   = http.StatusServiceUnavailable
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rejected):
		return &failure{newProblem(http.StatusUnprocessableEntity, err.Error()), rejected.Problems}
	case errors.Is(err, ErrRequest):
		status = http.StatusBadRequest
	case errors.Is(err, errNothing), errors.Is(err, bridge.ErrNoAlarm), errors.Is(err, bridge.ErrNoDevice),
		errors.Is(err, bridge.ErrNoEndpoint), errors.Is(err, bridge.ErrNoDelivery):
		status = http.StatusNotFound
	case errors.Is(err, bridge.ErrCommand), errors.Is(err, bridge.ErrNotConfigured), errors.Is(err, errConflict):
		status = http.StatusConflict
	}
	return &failure{newProblem(status, err.Error()), nil}
}

// The errors of who asks for what is not there, or cannot be done as things stand.
var (
	errNothing  = errors.New("not there")
	errConflict = errors.New("not now")
)

// A said is an error of one of the kinds above that shows only its text.
type said struct {
	kind error
	text string
}

func (s *said) Error() string { return s.text }
func (s *said) Unwrap() error { return s.kind }

func badRequest(format string, a ...any) error {
	return &said{ErrRequest, fmt.Sprintf(format, a...)}
}

func conflict(format string, a ...any) error { return &said{errConflict, fmt.Sprintf(format, a...)} }

func nothing(format string, a ...any) error { return &said{errNothing, fmt.Sprintf(format, a...)} }

// wording puts what is wrong with a request into the one sentence of a problem,
// with its place and without its value: that may be a secret.
func wording(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	text := m.Detail
	if m.Status == http.StatusRequestEntityTooLarge {
		text = fmt.Sprintf("the body is too large (send at most %d bytes)", maxBody)
	}
	if m.Status == http.StatusUnsupportedMediaType {
		text = "the body is not declared as JSON (send Content-Type: application/json)"
	} else if len(m.Errors) > 0 {
		var b bytes.Buffer
		for i, e := range m.Errors {
			if i > 0 {
				b.WriteString("; ")
			}
			if e.Location != "" && e.Location != "body" {
				b.WriteString(strings.TrimPrefix(e.Location, "body."))
				b.WriteString(": ")
			}
			b.WriteString(e.Message)
		}
		text = b.String() + " (/openapi.yaml says what is wanted)"
	}
	return &failure{newProblem(m.Status, text), nil}, nil
}
