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
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A handler routes by the exact path: there is no redirect to a cleaned one,
// so what is guarded cannot be reached by another spelling.
type handler struct {
	routes   map[string]http.Handler
	profiles bool
	open     map[string]bool // needs no token
	token    Token
	hosts    func(host string) bool // nil: any
	control  *control               // nil: nothing under its prefix
}

func newHandler(o *Options, loopback bool) *handler {
	h := &handler{
		routes: map[string]http.Handler{
			"/healthz": http.HandlerFunc(healthz),
			"/readyz":  readyz(o.Ready),
		},
		open:     map[string]bool{"/healthz": true, "/readyz": true},
		token:    o.Token,
		profiles: loopback,
	}
	if o.Bridge != nil {
		h.control = newControl(o, orDiscard(o.Log))
		h.routes["/openapi.yaml"] = http.HandlerFunc(h.control.serveDocument)
	}
	if o.Gatherer != nil {
		// One metric that fails must not hide the others. Two scrapers and a
		// person are served at a time; a scrape of ours takes milliseconds.
		h.routes["/metrics"] = promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 3, Timeout: 10 * time.Second,
		})
	}
	if o.Keys != nil {
		h.routes[keysPath], h.open[keysPath] = keys(o.Keys), true
	}
	if loopback {
		h.routes["/debug/pprof/"] = http.HandlerFunc(pprof.Index)
		h.routes["/debug/pprof/cmdline"] = http.HandlerFunc(pprof.Cmdline)
		h.routes["/debug/pprof/profile"] = http.HandlerFunc(pprof.Profile)
		h.routes["/debug/pprof/symbol"] = http.HandlerFunc(pprof.Symbol)
		h.routes["/debug/pprof/trace"] = http.HandlerFunc(pprof.Trace)
		listen, _, _ := net.SplitHostPort(o.Listen)
		h.hosts = func(host string) bool { return isLoopback(host) || host != "" && strings.EqualFold(host, listen) }
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")

	// Public keys are for everybody, by whatever name a proxy in front is known.
	if h.hosts != nil && r.URL.Path != keysPath && !h.hosts(hostname(r.Host)) {
		problem(w, http.StatusMisdirectedRequest, "this listener answers on loopback only, and not to the name "+strconv.QuoteToASCII(r.Host)+" (ask 127.0.0.1, [::1] or localhost)")
		return
	}
	if r.Header.Get("Webhook-Hop") != "" {
		problem(w, http.StatusLoopDetected, "this is tocsin itself, and takes no webhooks (correct the url of the endpoint that leads here)")
		return
	}
	path := r.URL.Path
	if h.token.set && !h.open[path] && !h.token.allows(r) {
		header.Set("WWW-Authenticate", `Bearer realm="tocsin"`)
		problem(w, http.StatusUnauthorized, "a bearer token is needed (send \"Authorization: Bearer TOKEN\" with the token of http.token)")
		return
	}
	if h.control != nil && strings.HasPrefix(path, prefix) {
		h.control.ServeHTTP(w, r)
		return
	}
	route, ok := h.routes[path]
	if name, under := strings.CutPrefix(path, "/debug/pprof/"); !ok && under && h.profiles && profiles.Lookup(name) != nil {
		route, ok = pprof.Handler(name), true
	}
	switch {
	case !ok:
		problem(w, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(path))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
	default:
		route.ServeHTTP(w, r)
	}
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

func readyz(ready func() []string) http.HandlerFunc {
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
			}{len(reasons) == 0, reasons}
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
