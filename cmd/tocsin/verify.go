package main

import (
	"bufio"
	"bytes"
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
	headers   string
	body      string
	tolerance time.Duration
	now       string
}

func newVerifyCommand(e env) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether a captured request verifies and, if not, why",
		Long: `Verify checks a captured request against a secret, as a receiver would. When the
signature does not match, it tries the mistakes that receivers make (the secret
used as text, a body parsed and written again, a newline added) and names the one
that explains the difference.

The headers are read as "Name: value" lines, with or without the request line
above them; what follows an empty line is ignored. The body must be the bytes as
they arrived. One of the two files may be - for standard input.
A capture is old by the time it is looked at: --now judges it as of then.`,
		Example: `  tocsin verify --secret @secrets/ops --headers headers.txt --body body.json
  tocsin verify --headers h --body b --now 2026-11-06T14:12:11Z`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return verify(cmd, e, f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret", nil, secretUsage+"; may be repeated")
	flags.StringVar(&f.headers, "headers", "", "file with the request's headers")
	flags.StringVar(&f.body, "body", "", "file with the request's body, to the byte")
	flags.DurationVar(&f.tolerance, "tolerance", 5*time.Minute, "how far the timestamp may be from now")
	flags.StringVar(&f.now, "now", "", "judge as of this time: RFC 3339 or Unix seconds")
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
	secrets, err := readSecrets(f.secrets, e.LookupEnv)
	if err != nil {
		return err
	}
	if len(secrets) == 0 {
		return usageError(cmd, "needs --secret whsec_… or --secret @FILE, or TOCSIN_SECRET set")
	}
	text, err := readCapture("--headers", f.headers, e.Stdin)
	if err != nil {
		return err
	}
	header, err := parseHeaders(f.headers, text)
	if err != nil {
		return err
	}
	body, err := readCapture("--body", f.body, e.Stdin)
	if err != nil {
		return err
	}
	return printVerdict(e, secrets, header, body, webhook.VerifyOptions{Now: now, Tolerance: f.tolerance})
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

// parseHeaders reads "Name: value" lines up to an empty line. A request or
// status line above them, and the "> " that curl -v puts before each line, are
// skipped.
func parseHeaders(path string, text []byte) (http.Header, error) {
	header := http.Header{}
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
			continue
		}
		if !isHeader {
			return nil, refused("%s:%d: %q is not a header (write Name: value)", path, n, line)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	if err := lines.Err(); err != nil {
		return nil, refused("%s: %w", path, err)
	}
	return header, nil
}

// isToken reports whether s can be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	notToken := func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	return s != "" && !strings.ContainsFunc(s, notToken)
}

// printVerdict prints the verdict and, when it is bad, what it looks like.
func printVerdict(e env, secrets []webhook.Secret, header http.Header, body []byte, o webhook.VerifyOptions) error {
	p := paletteFor(e.Stdout, e.LookupEnv)
	_, err := webhook.Verify(webhook.Keys{Secrets: secrets}, webhook.Request{Header: header, Body: body}, o)
	if err == nil {
		_, err := fmt.Fprintf(e.Stdout, "%s  %s\n", p.good("✓ verified"), cleanLine(header.Get("webhook-id")))
		return err
	}
	var b strings.Builder
	b.WriteString(p.bad("✗ "+cleanLine(err.Error())) + "\n")
	switch {
	case errors.Is(err, webhook.ErrTooOld), errors.Is(err, webhook.ErrTooNew):
		b.WriteString("  the signature itself is good (--now judges as of another time)\n")
	default:
		b.WriteString(explain(err, webhook.Diagnose(secrets, header, body)))
	}
	if _, err := io.WriteString(e.Stdout, b.String()); err != nil {
		return err
	}
	return &exitError{code: exitFailed}
}

// explain says what a diagnosis adds to the verdict.
func explain(verdict error, d webhook.Diagnosis) string {
	var s string
	switch {
	case d.Mistake == "":
		return "  no known mistake explains it: another secret signed this, or the content was changed\n"
	case d.Mistake == verdict.Error():
	case d.Proved:
		s = "  proved: " + cleanLine(d.Mistake) + "\n"
	default:
		s = "  perhaps: " + cleanLine(d.Mistake) + "\n"
	}
	if d.Remedy != "" {
		s += "  remedy: " + cleanLine(d.Remedy) + "\n"
	}
	return s
}
