package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

// maxCaptured bounds what verify reads: a webhook's body is far smaller.
const maxCaptured = 16 << 20

type verifyFlags struct {
	secrets   []string
	sign      []string
	url       string
	headers   string
	body      string
	tolerance time.Duration
	now       string
	asJSON    bool
}

func newVerifyCommand(e env) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether a captured request verifies and, if not, why",
		Long: `Verify checks a captured request against a secret or a public key, as a receiver
would, in each way in which it is signed. Where a signature does not match, it tries
the mistakes that receivers make (the secret used as text, a body parsed and written
again, a newline added, another URL behind a proxy) and names the one that explains
the difference. One good signature is enough, or with --sign all that are named.

The headers are read as "Name: value" lines, with or without the request line
above them; what follows an empty line is ignored. The body must be the bytes as
they arrived. One of the two files may be - for standard input. The URL, which
rfc9421 signs, is that of the request line and the Host header, unless --url says it.
A capture is old by the time it is looked at: --now judges it as of then.`,
		Example: `  tocsin verify --secret @secrets/ops --headers headers.txt --body body.json
  tocsin verify --headers h --body b --now 2026-11-06T14:12:11Z
  tocsin verify --secret whpk_… --sign ed25519 --headers h --body b`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return verify(cmd, e, f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret", nil, secretUsage+"; may be repeated")
	signFlags(cmd, &f.sign, &f.url)
	flags.StringVar(&f.headers, "headers", "", "file with the request's headers")
	flags.StringVar(&f.body, "body", "", "file with the request's body, to the byte")
	flags.DurationVar(&f.tolerance, "tolerance", 5*time.Minute, "how far the timestamp may be from now")
	flags.StringVar(&f.now, "now", "", "judge as of this time: RFC 3339 or Unix seconds")
	flags.BoolVar(&f.asJSON, "json", false, "print the verdict as JSON")
	return cmd
}

func verify(cmd *cobra.Command, e env, f verifyFlags) error {
	switch {
	case f.headers == "":
		return usageError(cmd, "needs --headers FILE")
	case f.body == "":
		return usageError(cmd, "needs --body FILE")
	case f.headers == "-" && f.body == "-":
		return usageError(cmd, "--headers and --body cannot both be standard input")
	case f.tolerance <= 0:
		return usageError(cmd, "--tolerance must be above 0")
	}
	now, err := parseNow(f.now)
	if err != nil {
		return err
	}
	keys, err := readKeys(f.secrets, f.sign, e.LookupEnv)
	if err != nil {
		return err
	}
	if len(keys.Secrets)+len(keys.Public) == 0 {
		return usageError(cmd, "needs --secret whsec_… or --secret @FILE, or TOCSIN_SECRET set")
	}
	text, err := readCapture("--headers", f.headers, e.Stdin)
	if err != nil {
		return err
	}
	r, err := parseRequest(f.headers, text)
	if err != nil {
		return err
	}
	if r.Body, err = readCapture("--body", f.body, e.Stdin); err != nil {
		return err
	}
	r.URL = cmp.Or(f.url, r.URL)
	print := printVerdict
	if f.asJSON {
		print = printVerdictJSON
	}
	return print(e, keys.Keys, r, webhook.VerifyOptions{Now: now, Tolerance: f.tolerance, Schemes: keys.schemes})
}

func parseNow(s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	if sec, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(sec, 0), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, refused("--now: %q is not a time (write 2026-11-06T14:12:11Z or Unix seconds)", s)
	}
	return t, nil
}

func readCapture(flag, path string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, refused("%s: %w", flag, err)
		}
		defer f.Close() // read only: nothing can be lost
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxCaptured+1))
	if err != nil {
		return nil, refused("%s: %w", flag, err)
	}
	if len(data) > maxCaptured {
		return nil, refused("%s: %s is over %d MiB, which no webhook is (is it the right file?)", flag, path, maxCaptured>>20)
	}
	return data, nil
}

// parseRequest reads "Name: value" lines up to an empty line. A request line above
// them says the method and, with the Host header, the URL; a status line and the
// "> " that curl -v puts before each line are skipped.
func parseRequest(path string, text []byte) (webhook.Request, error) {
	r := webhook.Request{Header: http.Header{}}
	var target string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxCaptured)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		line = strings.TrimPrefix(line, "> ")
		if line == "" || line == ">" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		isHeader := ok && isToken(name)
		if n == 1 && !isHeader && strings.Contains(line, "HTTP/") {
			if f := strings.Fields(line); len(f) == 3 {
				r.Method, target = f[0], f[1]
			}
			continue
		}
		if !isHeader {
			return r, refused("%s:%d: %q is not a header (write Name: value)", path, n, line)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	if err := lines.Err(); err != nil {
		return r, refused("%s: %w", path, err)
	}
	switch host := r.Header.Get("Host"); {
	case strings.Contains(target, "://"): // as tocsin listen -v prints it
		r.URL = target
	case host != "" && strings.HasPrefix(target, "/"):
		r.URL = "https://" + host + target
	}
	return r, nil
}

// isToken reports whether s can be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	notToken := func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	return s != "" && !strings.ContainsFunc(s, notToken)
}

// printVerdict prints the verdict and, of what is bad, what it looks like.
func printVerdict(e env, keys webhook.Keys, r webhook.Request, o webhook.VerifyOptions) error {
	p := paletteFor(e.Stdout, e.LookupEnv)
	found, verdict := webhook.Verify(keys, r, o)
	var b strings.Builder
	if verdict == nil {
		fmt.Fprintf(&b, "%s  %s\n", p.good("✓ verified"), cleanLine(r.Header.Get("webhook-id")))
	} else {
		b.WriteString(p.bad("✗ "+cleanLine(verdict.Error())) + "\n")
	}
	usual := len(found) == 1 && found[0].Scheme == webhook.Standard
	for _, f := range found {
		switch {
		case usual && f.Err == nil:
		case usual:
			b.WriteString(explain(f.Err, keys, r, f.Scheme, "  "))
		case f.Err == nil:
			fmt.Fprintf(&b, "  %s\n", p.good("✓ "+string(f.Scheme)))
		default:
			fmt.Fprintf(&b, "  %s\n", p.bad("✗ "+string(f.Scheme)+": "+cleanLine(f.Err.Error())))
			b.WriteString(explain(f.Err, keys, r, f.Scheme, "    "))
		}
	}
	if _, err := io.WriteString(e.Stdout, b.String()); err != nil {
		return err
	}
	if verdict != nil {
		return &exitError{code: exitFailed}
	}
	return nil
}

// printVerdictJSON prints the same for programs; its names are public.
func printVerdictJSON(e env, keys webhook.Keys, r webhook.Request, o webhook.VerifyOptions) error {
	type signature struct {
		Scheme   webhook.Scheme `json:"scheme"`
		Verified bool           `json:"verified"`
		Error    string         `json:"error,omitempty"`
		Why      []string       `json:"why,omitempty"`
	}
	found, verdict := webhook.Verify(keys, r, o)
	out := struct {
		ID         string      `json:"id"`
		Verified   bool        `json:"verified"`
		Error      string      `json:"error,omitempty"`
		Signatures []signature `json:"signatures"`
	}{ID: r.Header.Get("webhook-id"), Verified: verdict == nil, Signatures: []signature{}}
	if verdict != nil {
		out.Error = verdict.Error()
	}
	for _, f := range found {
		s := signature{Scheme: f.Scheme, Verified: f.Err == nil}
		if f.Err != nil {
			s.Error = f.Err.Error()
			for line := range strings.Lines(explain(f.Err, keys, r, f.Scheme, "")) {
				s.Why = append(s.Why, strings.TrimSpace(line))
			}
		}
		out.Signatures = append(out.Signatures, s)
	}
	if err := writeIndented(e.Stdout, out); err != nil {
		return err
	}
	if verdict != nil {
		return &exitError{code: exitFailed}
	}
	return nil
}

// explain says what a diagnosis adds to what was found.
func explain(found error, keys webhook.Keys, r webhook.Request, s webhook.Scheme, margin string) string {
	switch {
	case errors.Is(found, webhook.ErrTooOld), errors.Is(found, webhook.ErrTooNew):
		return margin + "the signature itself is good (--now judges as of another time)\n"
	case errors.Is(found, webhook.ErrNoSecret):
		return ""
	}
	d := webhook.Diagnose(keys, r, s)
	var text string
	switch {
	case d.Mistake == "":
		return margin + "no known mistake explains it: another secret signed this, or the content was changed\n"
	case d.Mistake == found.Error():
	case d.Proved:
		text = margin + "proved: " + cleanLine(d.Mistake) + "\n"
	default:
		text = margin + "perhaps: " + cleanLine(d.Mistake) + "\n"
	}
	if d.Remedy != "" {
		text += margin + "remedy: " + cleanLine(d.Remedy) + "\n"
	}
	return text
}
