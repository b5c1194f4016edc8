package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// bearerScheme is the name of how a request says who sends it, in the description.
const bearerScheme = "token"

// control answers under prefix, and describes itself. It is reached by whoever is
// known, and each route says who may use it.
type control struct {
	bridge  *bridge.Bridge
	gate    *gate
	version string
	reload  func(context.Context) (Reloaded, error)
	plan    func(ctx context.Context, config string) (Planned, error)
	compile func(name, text string) (*rules.Program, []Problem)
	foreign *http.CrossOriginProtection
	log     *slog.Logger
	ending  chan struct{} // closed when the server stops: what would go on for ever ends
	crowd   crowd
	turns   chan struct{} // taken by answers that cost a lot, so that they leave a processor to the bridge

	registrar Registrar

	mux      *http.ServeMux
	api      huma.API
	document func() ([]byte, error) // OpenAPI 3.1, as YAML
}

func newControl(o *Options, g *gate, log *slog.Logger) *control {
	c := &control{
		bridge: o.Bridge, gate: g, version: o.Version, reload: o.Reload, plan: o.Plan, compile: o.Compile, registrar: o.Registrar,
		log: log, ending: make(chan struct{}), turns: make(chan struct{}, 1), crowd: crowd{of: make(map[bearer]int)},
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
			Tags:    tags(),
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{bearerScheme: {
					Type: "http", Scheme: "bearer",
					Description: "The token of http.token, which may do everything, or one that was made here. A token has a scope: " +
						"read lets its bearer look, ops act on alarms, endpoints and deliveries as well, and admin everything. " +
						"A bridge on loopback without http.token asks for none.",
				}},
			},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{wording},

		RejectUnknownQueryParameters: true,
	})
	c.api.UseMiddleware(c.authorize)
	c.addAlarms()
	c.addRules()
	c.addDevices()
	c.addSeries()
	c.addEndpoints()
	c.addRegistration()
	c.addDeliveries()
	c.addConfiguration()
	c.addStream()
	c.addTokens()
	c.addMe()
	c.addAudit()
	c.addRejects()
	c.addTry()
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma's own problem, which wording replaces
		delete(schemas.Map(), unused)
	}
	c.document = sync.OnceValues(c.api.OpenAPI().YAML)
	return c
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A page of another origin must not act through a browser that can reach us.
	if err := c.foreign.Check(r); err != nil {
		if x, ok := w.(*exchange); ok {
			x.refused = true
		}
		problem(w, http.StatusForbidden, "the request comes from a web page of another origin (send it from a program, or from a page of this server)")
		return
	}
	if spelt := r.URL.EscapedPath(); path.Clean(spelt) != spelt { // the mux would redirect it
		nowhere(w, r)
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
	nowhere(w, r)
}

func nowhere(w http.ResponseWriter, r *http.Request) {
	problem(w, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(r.URL.Path)+" (/openapi.yaml says what there is)")
}

// tags are the first parts of the routes' paths, and what they are about.
func tags() (list []*huma.Tag) {
	for _, t := range [...][2]string{
		{"alarms", "Alarms, and what people do about them"},
		{"audit", "Who changed what"},
		{"deliveries", "What was sent to whom, and what became of it"},
		{"devices", "What is known of devices"},
		{"endpoints", "Who is told, and how they fare"},
		{"me", "Who asks"},
		{"plan", "What a configuration would do"},
		{"rejects", "What input was not used"},
		{"reload", "The configuration"},
		{"replay", "Deliveries again, many at a time"},
		{"rules", "How rules stand"},
		{"series", "What devices were like"},
		{"sources", "What messages are read by"},
		{"stream", "What happens, as it happens"},
		{"tokens", "Who may ask"},
		{"try", "What messages would do"},
	} {
		list = append(list, &huma.Tag{Name: t[0], Description: t[1]})
	}
	return list
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
	escaped := strings.ReplaceAll(url.PathEscape(name), ".", "%2E") // or the mux would go up at dots
	u.RawPath = prefix + kind + "/" + escaped + verb
	if u.RawPath == r.URL.EscapedPath() {
		return r
	}
	r = r.Clone(r.Context())
	r.URL = &u
	return r
}

// An answer is the body of a response.
type answer[T any] struct{ Body T }

// does says what a route is for, and who may use it.
type does struct {
	needs bridge.Scope
	path  string // below prefix
	says  string
}

// reads adds a route that reads.
func reads[I, O any](c *control, d does, do func(context.Context, *I) (O, error)) {
	route(c, d, huma.Operation{Method: http.MethodGet}, do)
}

// asks adds a route that takes a body to read by.
func asks[I, O any](c *control, d does, do func(context.Context, *I) (O, error)) {
	route(c, d, huma.Operation{Method: http.MethodPost}, do)
}

// acts adds a route that changes something. The input has a [Caller].
func acts[I, O any](c *control, d does, do func(context.Context, *I) (O, error)) {
	route(c, d, huma.Operation{Method: http.MethodPost, Metadata: map[string]any{changesSomething: true}}, do)
}

// makes adds a route that makes something. The input has a [Caller].
func makes[I, O any](c *control, d does, do func(context.Context, *I) (O, error)) {
	route(c, d, huma.Operation{Method: http.MethodPost, DefaultStatus: http.StatusCreated, Metadata: map[string]any{changesSomething: true}}, do)
}

// removes adds a route that takes something away. The input has a [Caller].
func removes[I, O any](c *control, d does, do func(context.Context, *I) (O, error)) {
	route(c, d, huma.Operation{Method: http.MethodDelete, Metadata: map[string]any{changesSomething: true}}, do)
}

const changesSomething = "changes" // in an operation's metadata

func route[I, O any](c *control, d does, op huma.Operation, do func(context.Context, *I) (O, error)) {
	c.describe(&op, d, huma.GenerateOperationID(op.Method, d.path, (*O)(nil)))
	if reflect.TypeFor[O]() == reflect.TypeFor[struct{}]() {
		op.DefaultStatus = http.StatusNoContent
		huma.Register(c.api, op, func(ctx context.Context, in *I) (*struct{}, error) {
			err := soundTimes(in)
			if err == nil {
				_, err = do(ctx, in)
			}
			return nil, asProblem(err)
		})
		return
	}
	huma.Register(c.api, op, func(ctx context.Context, in *I) (*answer[O], error) {
		if err := soundTimes(in); err != nil {
			return nil, asProblem(err)
		}
		out, err := do(ctx, in)
		if err != nil {
			return nil, asProblem(err)
		}
		return &answer[O]{out}, nil
	})
}

// describe writes down what a route is for, who may use it, and how it fails.
func (c *control) describe(op *huma.Operation, d does, id string) {
	op.Path, op.Summary, op.OperationID = prefix+d.path, d.says, id
	op.Tags = []string{strings.SplitN(d.path, "/", 2)[0]}
	op.Security = []map[string][]string{{bearerScheme: {string(d.needs)}}}
	op.Description = "Needs a token of the scope " + string(d.needs) + "."
	op.MaxBodyBytes = maxBody
	if op.Responses == nil {
		op.Responses = make(map[string]*huma.Response)
	}
	maps.Copy(op.Responses, c.failures(op.Method, strings.Contains(d.path, "{")))
}

// failures are the problems that a route may answer with.
func (c *control) failures(method string, named bool) map[string]*huma.Response {
	list := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if method != http.MethodGet {
		list = append(list, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if named {
		list = append(list, http.StatusBadRequest, http.StatusNotFound)
	}
	schema := c.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[failure](), true, "Problem")
	responses := make(map[string]*huma.Response)
	for _, status := range list {
		responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{problemJSON: {Schema: schema}},
		}
	}
	responses[strconv.Itoa(http.StatusTooManyRequests)].Headers = map[string]*huma.Param{
		"Retry-After": {Description: "seconds to wait", Schema: &huma.Schema{Type: huma.TypeInteger}},
	}
	return responses
}

// authorize lets a request through whose sender may use the route. What a route
// needs is read from its own description.
func (c *control) authorize(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	x, ok := w.(*exchange)
	op := ctx.Operation()
	needed, described := neededBy(op)
	switch {
	case !ok || !described:
		problem(w, http.StatusInternalServerError, "the route does not say who may use it (this is a defect of tocsin)")
	case !x.by.scope.Allows(needed):
		forbid(x, needed)
	default:
		x.changes = op.Metadata[changesSomething] != nil && !reading(r)
		next(ctx)
	}
}

func neededBy(op *huma.Operation) (bridge.Scope, bool) {
	if len(op.Security) != 1 || len(op.Security[0][bearerScheme]) != 1 {
		return "", false
	}
	return bridge.Scope(op.Security[0][bearerScheme][0]), true
}

// forbid answers whose token is not enough.
func forbid(x *exchange, needed bridge.Scope) {
	x.refused = true
	x.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="tocsin", error="insufficient_scope", scope=%q`, needed))
	problem(x, http.StatusForbidden, fmt.Sprintf("this needs a token of the scope %s, and %s has %s (ask whoever runs this bridge)", needed, strconv.QuoteToASCII(x.by.name), x.by.scope))
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
		declined *Declined
		status   = http.StatusServiceUnavailable
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rejected):
		return &failure{newProblem(http.StatusUnprocessableEntity, err.Error()), rejected.Problems}
	case errors.As(err, &declined):
		status = declined.Status
	case errors.Is(err, ErrRequest), errors.Is(err, bridge.ErrTrial):
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

// turn waits until an answer that costs a lot may be made. What is returned ends it.
func (c *control) turn(ctx context.Context) (done func(), err error) {
	select {
	case c.turns <- struct{}{}:
		return func() { <-c.turns }, nil
	case <-ctx.Done():
		return nil, errors.New("others ask for what costs as much (ask again later)")
	}
}
