// Package page is what a person opens in a browser: one page, its style sheet, its
// scripts and an icon, all of them in the binary. It is served as it lies here,
// there is no build step, and it asks nobody but its own server for anything.
//
// It holds no data and knows nothing of a bridge: the scripts ask the HTTP API for
// everything, as whoever looks at the page may. So the page itself can be served to
// everybody.
//
// Concurrency: the handler is made once, has no state, and is safe for concurrent
// use.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

//go:embed index.html
var index string

// Prefix is what the paths of everything but the page itself begin with.
const Prefix = "/page/"

// policy lets the page run its own scripts and nothing else. No text becomes
// markup: there is no trusted type that would let it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// contentTypes are those of the assets, which no machine's tables decide.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// A file is an answer, made once.
type file struct {
	contentType string
	cache       string
	plain       []byte
	gzip        []byte
}

// files are answers by their paths.
type files map[string]file

// New returns a handler of "/" and of what lies below [Prefix].
func New() (http.Handler, error) {
	names, err := fs.Glob(assets, "assets/*")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	digest := sha256.New()
	texts := make(map[string][]byte, len(names))
	for _, name := range names {
		text, err := assets.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		fmt.Fprintf(digest, "%s %d\n", name, len(text))
		digest.Write(text)
		texts[path.Base(name)] = text
	}
	// Each version of the assets has a folder of its own, so a browser never mixes
	// two, and need not ask twice for one.
	folder := Prefix + hex.EncodeToString(digest.Sum(nil)[:8]) + "/"
	all := make(files, len(names)+1)
	for name, text := range texts {
		kind, known := contentTypes[path.Ext(name)]
		if !known {
			return nil, fmt.Errorf("page: %s: is of no kind that is served (add it to contentTypes)", name)
		}
		all[folder+name] = newFile(kind, "public, max-age=31536000, immutable", text)
	}
	var styles, modules []string
	for _, name := range names { // in their order, so that the page is the same every time
		switch name = path.Base(name); path.Ext(name) {
		case ".css": // base.css is the first and says which goes before which
			styles = append(styles, name)
		case ".js":
			if name != "theme.js" {
				modules = append(modules, name)
			}
		}
	}
	page, err := template.New("page").Parse(index)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"Folder": folder, "Styles": styles, "Modules": modules}); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	all["/"] = newFile("text/html; charset=utf-8", "no-cache", b.Bytes())
	return all, nil
}

func newFile(contentType, cache string, text []byte) file {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one
	_, _ = z.Write(text)                                  // a buffer takes everything
	_ = z.Close()
	return file{contentType, cache, text, b.Bytes()}
}

// ServeHTTP implements http.Handler.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	answer, ok := f[r.URL.Path]
	if !ok {
		http.Error(w, "there is nothing here (the page is at /)", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", answer.contentType)
	h.Set("Cache-Control", answer.cache)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept-Encoding")
	text := answer.plain
	if acceptsGzip(r) && len(answer.gzip) < len(text) {
		h.Set("Content-Encoding", "gzip")
		text = answer.gzip
	}
	_, _ = w.Write(text) // a client that has gone needs no answer
}

// acceptsGzip reports whether a request takes gzip, as browsers say it. Who says it
// in another way gets the plain text, which is never wrong.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(part) == "gzip" {
			return true
		}
	}
	return false
}
