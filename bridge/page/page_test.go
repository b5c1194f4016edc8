package page

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var linked = regexp.MustCompile(`(?:href|src)="(/[^"]*)"`)

// What the page names is there, of the right kind, and may be kept for ever; the
// page itself is asked for each time.
func TestPageNamesWhatIsServed(t *testing.T) {
	w := get(t, "/")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	names := linked.FindAllStringSubmatch(w.Body.String(), -1)
	served := make(map[string]bool)
	for _, name := range names {
		served[filepath.Base(name[1])] = true
		asset := get(t, name[1])
		if asset.Code != 200 || asset.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v", name[1], asset.Code, asset.Header())
		}
	}
	files, err := os.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !served[f.Name()] {
			t.Errorf("%s is not in the page", f.Name())
		}
	}
}

func TestAssetsOfAnotherVersionAreNotThere(t *testing.T) {
	asset := linked.FindStringSubmatch(get(t, "/").Body.String())[1]
	parts := strings.Split(asset, "/") // "", page, HASH, name
	for _, path := range []string{"/page/0000000000000000/" + parts[3], "/page/" + parts[3], "/page/", "/page/" + parts[2] + "/", "/page/" + parts[2] + "/../page.go", "/index.html"} {
		if w := get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestAnswersAreCompressedForWhoTakesIt(t *testing.T) {
	plain := get(t, "/")
	packed := get(t, "/", "Accept-Encoding", "br, gzip")
	if plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("Content-Encoding") != "gzip" || packed.Header().Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v, %v", plain.Header(), packed.Header())
	}
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(text, plain.Body.Bytes()) {
		t.Errorf("%v: %d bytes, want %d", err, len(text), plain.Body.Len())
	}
	if w := get(t, "/", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("sent compressed to who does not take it")
	}
}

// The policy lets the page run its own scripts and nothing else, and no text
// becomes markup.
func TestPolicyAllowsOnlyWhatIsOurs(t *testing.T) {
	got := get(t, "/").Header().Get("Content-Security-Policy")
	want := map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:", "connect-src": "'self'",
		"form-action": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'",
		"require-trusted-types-for": "'script'", "trusted-types": "'none'",
	}
	for part := range strings.SplitSeq(got, "; ") {
		name, value, _ := strings.Cut(part, " ")
		if want[name] != value {
			t.Errorf("%s is %q, want %q", name, value, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("%q lacks %v", got, want)
	}
}

// forbidden are the ways from a text to markup or code, and to somebody else's
// server.
var forbidden = regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML|\beval\b|new Function|\bon(click|error|load|input|change)\s*=\s*["']|style\s*=\s*["']|javascript:|https?://`)

// harmless takes out the addresses that nobody asks: the name of SVG's elements, and
// an example in an empty field.
var harmless = strings.NewReplacer("http://www.w3.org/2000/svg", "", "https://example.com/hook", "")

func TestAssetsKeepToThePolicy(t *testing.T) {
	files, err := filepath.Glob("assets/*")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, name := range append(files, "index.html") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if found := forbidden.FindString(harmless.Replace(line)); found != "" {
				t.Errorf("%s:%d: %s", name, i+1, found)
			}
		}
		if lines := bytes.Count(text, []byte("\n")); lines > 400 {
			t.Errorf("%s: %d lines (split it)", name, lines)
		}
	}
}

func TestPageHasNoScriptOrStyleInside(t *testing.T) {
	text := get(t, "/").Body.String()
	for _, tag := range regexp.MustCompile(`<(script|style)[^>]*>`).FindAllString(text, -1) {
		if !strings.Contains(tag, " src=") {
			t.Errorf("%s", tag)
		}
	}
}
