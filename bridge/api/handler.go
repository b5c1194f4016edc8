package api

import (
	"encoding/json"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/pprof" // #nosec G108 -- it also registers at http.DefaultServeMux, which nobody here serves
	"net/netip"
	profiles "runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tocsin/bridge"
)

// A handler routes by the exact path: there is no redirect to a cleaned one,
// so what is guarded cannot be reached by another spelling.
type handler struct {
	open    map[string]http.Handler // for everybody
	page    http.Handler            // for everybody as well; nil: there is none
	routes  map[string]guarded
	profile bool
	gate    *gate
	limits  limits
	hosts   func(host string) bool // nil: any
	askFor  string                 // what to do about another
	control *control               // nil: nothing under its prefix
	log     *slog.Logger
}

// A guarded handler is for who may use it.
type guarded struct {
	needs bridge.Scope
	http.Handler
}

func newHandler(o *Options, loopback bool) *handler {
	log := orDiscard(o.Log)
	h := &handler{
		open: map[string]http.Handler{
			"/healthz": http.HandlerFunc(healthz),
			"/readyz":  readyz(o.Ready, o.Later),
		},
		page:    o.Page,
		routes:  make(map[string]guarded),
		gate:    &gate{fixed: o.Token, log: log},
		limits:  newLimits(o.Rates),
		profile: loopback,
		log:     log,
	}
	if o.Bridge != nil {
		h.gate.book = o.Bridge.Access()
		h.control = newControl(o, h.gate, log)
		h.routes["/openapi.yaml"] = guarded{bridge.ScopeRead, http.HandlerFunc(h.control.serveDocument)}
	}
	if o.Gatherer != nil {
		// One metric that fails must not hide the others. Two scrapers and a
		// person are served at a time; a scrape of ours takes milliseconds.
		h.routes["/metrics"] = guarded{bridge.ScopeRead, promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 3, Timeout: 10 * time.Second,
		})}
	}
	if o.Keys != nil {
		h.open[keysPath] = keys(o.Keys)
	}
	if loopback {
		for path, serve := range map[string]http.HandlerFunc{
			"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
		} {
			h.routes[profilesPath+path] = guarded{bridge.ScopeAdmin, serve} // memory may hold secrets
		}
	}
	h.hosts, h.askFor = allowed(o, loopback)
	return h
}

// allowed says which names a listener answers to, and what to ask for instead; nil:
// any. A web page that has its own name pointed at us would read what we answer to
// that name.
func allowed(o *Options, loopback bool) (hosts func(string) bool, instead string) {
	named := func(host string) bool {
		return slices.ContainsFunc(o.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
	}
	listen, _, _ := net.SplitHostPort(o.Listen)
	switch {
	case loopback:
		return func(host string) bool {
			return isLoopback(host) || host != "" && strings.EqualFold(host, listen) || named(host)
		}, "ask 127.0.0.1, [::1] or localhost, or list the name in http.hosts"
	case len(o.Hosts) > 0:
		return func(host string) bool {
			_, err := netip.ParseAddr(host) // nobody can point an address elsewhere
			return err == nil || isLoopback(host) || named(host)
		}, "list it in http.hosts"
	}
	return nil, ""
}

const (
	profilesPath = "/debug/pprof/"
	pagePath     = "/page/" // of what the page at / is made of
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Content-Security-Policy", "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")

	// Public keys are for everybody, by whatever name a proxy in front is known.
	if h.hosts != nil && r.URL.Path != keysPath && !h.hosts(hostname(r.Host)) {
		problem(w, http.StatusMisdirectedRequest, "this listener does not answer to the name "+strconv.QuoteToASCII(r.Host)+" ("+h.askFor+")")
		return
	}
	if r.Header.Get("Webhook-Hop") != "" {
		problem(w, http.StatusLoopDetected, "this is tocsin itself, and takes no webhooks (correct the url of the endpoint that leads here)")
		return
	}
	if route, ok := h.open[r.URL.Path]; ok {
		serveReading(w, r, route)
		return
	}
	if h.page != nil && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, pagePath)) {
		serveReading(w, r, h.page)
		return
	}
	x := &exchange{ResponseWriter: w, by: bearer{name: byNobody}}
	served := false
	defer func() {
		if !served { // a defect has ended it: what was done is done all the same
			x.status, x.err = http.StatusInternalServerError, "the request was not answered (this is a defect of tocsin: see its log)"
		}
		h.audited(r, x)
	}()
	if h.enters(x, r) {
		h.serve(x, r)
	}
	served = true
}

// enters finds out who sends a request, and answers those that may not come in, or
// come too often.
func (h *handler) enters(x *exchange, r *http.Request) bool {
	address := addressOf(r)
	if wait := h.limits.address.take(address); wait > 0 {
		tooMany(x, wait, "there are too many requests from "+address)
		return false
	}
	by, denied, err := h.gate.who(r)
	switch {
	case err != nil:
		problem(x, http.StatusServiceUnavailable, err.Error())
		return false
	case denied != nil:
		if wait := h.limits.refused.take(address); wait > 0 {
			tooMany(x, wait, "there are too many requests without a good token from "+address)
			return false
		}
		x.refused = true
		x.Header().Set("WWW-Authenticate", denied.challenge)
		problem(x, http.StatusUnauthorized, denied.detail)
		return false
	}
	x.by = by
	if by.name == byLoopback {
		return true // its address has been counted
	}
	if wait := h.limits.token.take(by.id); wait > 0 {
		tooMany(x, wait, "there are too many requests with the token "+strconv.QuoteToASCII(by.name))
		return false
	}
	return true
}

// serve answers who has come in.
func (h *handler) serve(x *exchange, r *http.Request) {
	path := r.URL.Path
	if reading(r) && fromElsewhere(r) {
		problem(x, http.StatusForbidden, "the request comes from a web page of another origin (send it from a program, or from a page of this server)")
		return
	}
	if h.control != nil && strings.HasPrefix(path, prefix) {
		h.control.ServeHTTP(x, r)
		return
	}
	route, ok := h.routes[path]
	if name, under := strings.CutPrefix(path, profilesPath); !ok && under && h.profile && profiles.Lookup(name) != nil {
		route, ok = guarded{bridge.ScopeAdmin, pprof.Handler(name)}, true
	}
	switch {
	case !ok:
		problem(x, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(path))
	case !x.by.scope.Allows(route.needs):
		forbid(x, route.needs)
	default:
		serveReading(x, r, route)
	}
}

// fromElsewhere reports whether a page of another origin has a browser make a request.
// It cannot read the answer, but streams and profiles that it leaves open would take
// the places of others. A link that somebody follows is none of these.
func fromElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// serveReading answers at a path that is only read.
func serveReading(w http.ResponseWriter, r *http.Request, route http.Handler) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	route.ServeHTTP(w, r)
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// hostname is the name or address in a Host header.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport // without a port
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// isLoopback reports whether a host can only mean this machine. Names under
// localhost are kept there by browsers and resolvers alike (RFC 6761).
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // a client that has gone needs no answer, here and below
}

func readyz(ready, later func() []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		reasons := []string{}
		if ready != nil {
			for _, reason := range ready() {
				reasons = append(reasons, strings.ReplaceAll(reason, "\n", "; ")) // one a line
			}
		}
		status := http.StatusOK
		if len(reasons) > 0 {
			status = http.StatusServiceUnavailable
		}
		if wantsJSON(r) {
			body := struct {
				Ready   bool     `json:"ready"`
				Reasons []string `json:"reasons"`
				Restart []string `json:"restart,omitempty"` // sections of the configuration that take one
			}{Ready: len(reasons) == 0, Reasons: reasons}
			if later != nil {
				body.Restart = later()
			}
			writeJSON(w, status, "application/json", body)
			return
		}
		text := "ready"
		if len(reasons) > 0 {
			text = strings.Join(reasons, "\n")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text + "\n"))
	}
}

// wantsJSON reports whether a request prefers JSON to text: it names the one and
// not the other.
func wantsJSON(r *http.Request) bool {
	isJSON := false
	for _, accept := range r.Header.Values("Accept") {
		for _, part := range strings.Split(accept, ",") {
			kind, params, err := mime.ParseMediaType(part)
			switch {
			case err != nil || strings.Trim(params["q"], "0.") == "" && params["q"] != "":
			case kind == "text/plain":
				return false
			case kind == "application/json":
				isJSON = true
			}
		}
	}
	return isJSON
}

const problemJSON = "application/problem+json"

// A problemDocument is an error as RFC 9457 has it.
type problemDocument struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func newProblem(status int, detail string) problemDocument {
	return problemDocument{http.StatusText(status), status, detail}
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, problemJSON, newProblem(status, detail))
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encoding the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
