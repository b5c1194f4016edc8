package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tocsin/bridge"
)

// How much the audit log holds: of what was done or could not be, and of what
// nobody had a right to.
const (
	AuditKept   = 10_000
	keepRefused = 1_000
)

// maxSaid bounds each text of an entry.
const maxSaid = 500

// auditWithin is how long an answer waits for its entry to be on disk.
const auditWithin = 5 * time.Second

// An exchange is one request and its answer: who asked, and what the audit log is
// told of it.
type exchange struct {
	http.ResponseWriter
	by      bearer
	changes bool // something, or would have
	refused bool // for want of a right
	status  int  // of the answer, 0 as long as there is none
	err     string
	said    map[string]string
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// reading reports whether a request changes nothing, whatever is at its path.
func reading(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// audited writes an exchange into the audit log. It is on disk before the end of
// the answer is sent.
func (h *handler) audited(r *http.Request, x *exchange) {
	if h.gate.book == nil || reading(r) || !strings.HasPrefix(r.URL.Path, prefix) || !x.changes && !x.refused {
		return
	}
	entry := bridge.AuditEntry{
		At: time.Now().UTC(), Who: x.by.name, Token: x.by.id, From: r.RemoteAddr, Method: clip(r.Method, 20), Path: clip(shownPath(r.URL), maxSaid),
		Status: x.status, Refused: x.refused, Error: x.err, Said: x.said,
	}
	keep := AuditKept
	if entry.Refused {
		keep = keepRefused
		// Who had no token was counted with it. A web page that has a browser send us
		// what we refuse must not keep the disk busy either.
		if x.status != http.StatusUnauthorized && h.limits.refused.take(addressOf(r)) > 0 {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditWithin)
	defer cancel()
	if err := h.gate.book.Audit(ctx, entry, keep); err != nil {
		h.log.Error("audit entry not written", "error", err, "who", entry.Who, "from", entry.From,
			"method", entry.Method, "path", entry.Path, "status", entry.Status)
	}
}

// shownPath is a path as people read it: as it was written where it has what no text has.
func shownPath(u *url.URL) string {
	if utf8.ValidString(u.Path) && !strings.ContainsFunc(u.Path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return u.Path
	}
	return u.EscapedPath()
}

// clip cuts a text that somebody else has made, and takes out of it what looks like
// a token: somebody may have pasted one where a name belongs.
func clip(s string, n int) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, tokenBegin)
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteString(hidden)
		s = strings.TrimLeft(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
	}
	if s = b.String(); len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// A Caller is who asks. It is part of the input of every route that changes
// something, for the logs, and of the one that tells who asks.
type Caller struct {
	x          *exchange
	from, path string
}

// Resolve implements huma.Resolver.
func (c *Caller) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	c.x, _ = w.(*exchange)
	u := ctx.URL()
	c.from, c.path = ctx.RemoteAddr(), u.Path
	return nil
}

// onlyAsks says that this request, unlike others at its path, changes nothing.
func (c *Caller) onlyAsks() { c.x.changes = false }

// audit logs who changed what, as pairs of name and text. They are shown to people:
// no secret is among them.
func (c *control) audit(by *Caller, err error, pairs ...string) {
	attrs := []any{"who", by.x.by.name, "path", clip(by.path, maxSaid), "from", by.from}
	by.x.said = make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := clip(pairs[i+1], maxSaid); text != "" {
			attrs = append(attrs, pairs[i], text)
			by.x.said[pairs[i]] = text
		}
	}
	if err != nil {
		by.x.err = clip(err.Error(), maxSaid)
		c.log.Warn("request not carried out", append(attrs, "error", by.x.err)...)
		return
	}
	c.log.Info("request carried out", attrs...)
}
