package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A Problem is something wrong in a configuration: where, what, and what to do.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Place   string `json:"place,omitempty"`
	Fact    string `json:"fact"`
	Remedy  string `json:"remedy"`
	Warning bool   `json:"warning"`
}

// Rejected is the error of a configuration that cannot be used.
type Rejected struct{ Problems []Problem }

func (r *Rejected) Error() string {
	errs := 0
	for _, p := range r.Problems {
		if !p.Warning {
			errs++
		}
	}
	noun := "errors"
	if errs == 1 {
		noun = "error"
	}
	return fmt.Sprintf("the configuration has %d %s and what runs goes on unchanged (correct the file, and check it with: tocsin check)", errs, noun)
}

// ErrRequest is an error of whoever asks; what wraps it says which.
var ErrRequest = errors.New("bad request")

// Reloaded is the answer of a reload.
type Reloaded struct {
	Changes bridge.Diff `json:"changes"`
	Elsewhere
}

// Planned is the answer of a plan.
type Planned struct {
	bridge.Plan
	Elsewhere
}

// Elsewhere is what there is to say of a configuration beside its rules and
// endpoints. Its lists are never nil.
type Elsewhere struct {
	Definitions []string  `json:"definitions"` // tables that rules refer to and that have changed
	Restart     []string  `json:"restart"`     // sections that differ and need a restart
	Warnings    []Problem `json:"warnings"`
}

// prefix is what the routes that act on the bridge begin with.
const prefix = "/api/v1/"

const (
	maxBody    = 64 << 10
	maxAlarms  = 10_000 // in one answer
	maxComment = 1000   // characters of a reason
)

// control answers under prefix. It is reached only by whoever may.
type control struct {
	bridge  *bridge.Bridge
	reload  func(context.Context) (Reloaded, error)
	plan    func(ctx context.Context, config string) (Planned, error)
	foreign *http.CrossOriginProtection
	log     *slog.Logger
}

func newControl(o *Options, log *slog.Logger) *control {
	return &control{bridge: o.Bridge, reload: o.Reload, plan: o.Plan, foreign: http.NewCrossOriginProtection(), log: log}
}

// ServeHTTP implements http.Handler.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A page of another origin must not act through a browser that can reach us.
	if err := c.foreign.Check(r); err != nil {
		problem(w, http.StatusForbidden, "the request comes from a web page of another origin (send it from a program, or from a page of this server)")
		return
	}
	path := strings.TrimPrefix(r.URL.Path, prefix)
	method, answer := http.MethodPost, http.HandlerFunc(nil)
	switch {
	case path == "reload" && c.reload != nil:
		answer = c.serveReload
	case path == "plan" && c.plan != nil:
		answer = c.servePlan
	case path == "alarms":
		method, answer = http.MethodGet, c.serveAlarms
	case path == "rules":
		method, answer = http.MethodGet, c.serveRules
	default:
		if key, verb, ok := alarmVerb(path); ok {
			answer = func(w http.ResponseWriter, r *http.Request) { c.serveCommand(w, r, key, verb) }
		} else if device, ok := explained(path); ok {
			method, answer = http.MethodGet, func(w http.ResponseWriter, r *http.Request) { c.serveExplain(w, r, device) }
		} else if rule, ok := named(path); ok {
			method, answer = http.MethodGet, func(w http.ResponseWriter, _ *http.Request) { c.serveRule(w, rule) }
		}
	}
	switch {
	case answer == nil:
		problem(w, http.StatusNotFound, "there is nothing at "+strconv.QuoteToASCII(r.URL.Path))
	case r.Method != method:
		w.Header().Set("Allow", method)
		problem(w, http.StatusMethodNotAllowed, "only "+method+" is answered here")
	default:
		answer(w, r)
	}
}

// alarmVerb takes alarms/{key}/{verb} apart. Keys have slashes of their own.
func alarmVerb(path string) (key string, verb rules.Verb, ok bool) {
	rest, ok := strings.CutPrefix(path, "alarms/")
	last := strings.LastIndexByte(rest, '/')
	if !ok || last <= 0 {
		return "", "", false
	}
	verb = rules.Verb(rest[last+1:])
	known := []rules.Verb{rules.Ack, rules.Unack, rules.Shelve, rules.Unshelve, rules.Reset}
	return rest[:last], verb, slices.Contains(known, verb)
}

// explained takes devices/{id}/explain apart.
func explained(path string) (device string, ok bool) {
	rest, ok := strings.CutPrefix(path, "devices/")
	if !ok {
		return "", false
	}
	device, ok = strings.CutSuffix(rest, "/explain")
	return device, ok && device != ""
}

func (c *control) serveExplain(w http.ResponseWriter, r *http.Request, device string) {
	rule := r.URL.Query().Get("rule")
	alarms, err := c.bridge.Explain(device, rule)
	switch {
	case err != nil:
		c.fail(w, err)
	case len(alarms) == 0 && rule != "":
		problem(w, http.StatusNotFound, fmt.Sprintf("rule %q does not look at a device %q, or the device was never heard of (leave the rule out to see what does)", rule, device))
	case len(alarms) == 0:
		problem(w, http.StatusNotFound, fmt.Sprintf("no rule looks at a device %q, or it was never heard of (check its name, and the devices of your rules)", device))
	default:
		writeJSON(w, http.StatusOK, "application/json", struct {
			Alarms []rules.Explanation `json:"alarms"`
		}{alarms})
	}
}

func (c *control) serveReload(w http.ResponseWriter, r *http.Request) {
	report, err := c.reload(r.Context())
	c.audit(r, err)
	if err != nil {
		c.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", report)
}

func (c *control) servePlan(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Config string `json:"config"`
	}
	if err := readBody(w, r, &asked, `{"config": …}, or nothing`); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	plan, err := c.plan(r.Context(), asked.Config)
	if err != nil {
		c.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", plan)
}

func (c *control) serveAlarms(w http.ResponseWriter, r *http.Request) {
	alarms, err := c.bridge.Alarms(r.Context(), maxAlarms)
	if err != nil {
		c.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Alarms []bridge.Alarm `json:"alarms"`
		More   bool           `json:"more"` // than one answer holds
	}{alarms, len(alarms) == maxAlarms})
}

// A comment is what a person says with a command.
type comment struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

func (c *control) serveCommand(w http.ResponseWriter, r *http.Request, key string, verb rules.Verb) {
	var said comment
	err := readBody(w, r, &said, `{"by": …, "reason": …, "until": …}, each optional`)
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, err.Error())
		return
	case len([]rune(said.By)) > maxComment || len([]rune(said.Reason)) > maxComment:
		problem(w, http.StatusBadRequest, fmt.Sprintf("by, reason: more than %d characters (shorten them)", maxComment))
		return
	case verb == rules.Shelve && !said.Until.After(time.Now()):
		problem(w, http.StatusBadRequest, `until: shelving needs a time in the future (send {"until": "2026-01-02T15:04:05Z"} with one)`)
		return
	case verb != rules.Shelve && !said.Until.IsZero():
		problem(w, http.StatusBadRequest, "until: only shelving has an end (leave it out)")
		return
	}
	err = c.bridge.Command(r.Context(), rules.Command{Verb: verb, Key: key, By: said.By, Reason: said.Reason, Until: said.Until})
	c.audit(r, err, "by", said.By, "reason", said.Reason)
	if err != nil {
		c.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// readBody reads a request's JSON, if it has a body, and says what was wanted.
func readBody(w http.ResponseWriter, r *http.Request, into any, wanted string) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fmt.Errorf("reading the body: %w (send at most %d bytes)", err, maxBody)
	}
	if len(body) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the body is not declared as JSON (send Content-Type: application/json)")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("reading the body: %w (send %s)", err, wanted)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("reading the body: there is something behind the object (send one object)")
	}
	return nil
}

// fail answers with the problem that err is.
func (c *control) fail(w http.ResponseWriter, err error) {
	var rejected *Rejected
	switch {
	case errors.As(err, &rejected):
		writeJSON(w, http.StatusUnprocessableEntity, problemJSON, struct {
			problemDocument
			Problems []Problem `json:"problems"`
		}{newProblem(http.StatusUnprocessableEntity, err.Error()), rejected.Problems})
	case errors.Is(err, ErrRequest):
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, bridge.ErrNoAlarm):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, bridge.ErrCommand):
		problem(w, http.StatusConflict, err.Error())
	default:
		problem(w, http.StatusServiceUnavailable, err.Error())
	}
}

// audit logs who changed what.
func (c *control) audit(r *http.Request, err error, attrs ...any) {
	attrs = append([]any{"path", r.URL.Path, "from", r.RemoteAddr}, attrs...)
	if err != nil {
		c.log.Warn("request not carried out", append(attrs, "error", err)...)
		return
	}
	c.log.Info("request carried out", attrs...)
}
