package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

// maxShown is how much of a body is printed; the record has all of it.
const maxShown = 16 << 10

type listenFlags struct {
	addr    string
	secrets []string
	fault   string
	seed    uint64
	out     string
	quiet   bool
	verbose bool
}

func newListenCommand(e env) *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks: verify, print, and fail on purpose",
		Long: `Listen is a receiver for developers. It verifies every request, says whether it
is a repeat, prints the body, and answers 200, or badly where --fault says so:

  500:0.2        a status, for one request in five
  429/2s:0.1     a status with Retry-After (429 and others)
  302/URL:0.1    a redirect (3xx); without a URL it leads back here
  hang:0.01      no answer, the connection stays open
  slow/20s:0.1   a good answer, late
  drip:0.1       a good status, then a byte a second
  big:0.1        a good status, then a body without end
  reset:0.1      no answer, a TCP reset;   close:0.1  no answer, a plain close

A request that does not verify is answered 401.
--out appends one line of JSON a request: id, type, at, verified, attempt, status,
headers, body, and raw, which is the body to the byte in base64.`,
		Example: `  tocsin listen --secret @secrets/ops
  tocsin listen --secret @secrets/ops --fault 500:0.2,hang:0.05 --out received.jsonl -q`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listen(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "127.0.0.1:9000", "address to listen on; port 0 takes a free one")
	flags.StringArrayVar(&f.secrets, "secret", nil, secretUsage+"; may be repeated")
	flags.StringVar(&f.fault, "fault", "", "answer badly: KIND:PROBABILITY,…")
	flags.Uint64Var(&f.seed, "seed", 1, "decides which requests are answered badly")
	flags.StringVar(&f.out, "out", "", "append every request to this file, one line of JSON each")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "one line a request, without the body")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print the headers too")
	return cmd
}

func listen(ctx context.Context, e env, f listenFlags) (err error) {
	secrets, err := readSecrets(f.secrets, e.LookupEnv)
	if err != nil {
		return err
	}
	faults, err := parseFaults(f.fault)
	if err != nil {
		return refused("--fault: %w", err)
	}
	addr, err := listenAddr(f.addr, len(secrets) > 0)
	if err != nil {
		return err
	}
	o := receiverOptions{Secrets: secrets, Faults: faults, Seed: f.seed}
	if f.out != "" {
		file, err := os.OpenFile(f.out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return refused("--out: %w", err)
		}
		defer func() {
			if closeErr := file.Close(); err == nil {
				err = closeErr
			}
		}()
		o.Record = file
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return fmt.Errorf("--addr: %w (choose another with --addr 127.0.0.1:0)", err)
	}
	p := receptionPrinter{
		out: e.Stdout, palette: paletteFor(e.Stdout, e.LookupEnv),
		bodies: !f.quiet, headers: f.verbose, verifying: len(secrets) > 0,
	}
	o.Observe = p.print
	fmt.Fprintf(e.Stdout, "listening on http://%s\n", ln.Addr())
	if !p.verifying {
		fmt.Fprintln(e.Stderr, "tocsin: listen: no secret, so no signature is verified (--secret @FILE verifies them)")
	}
	return newReceiver(o).Serve(ctx, ln)
}

// listenAddr resolves where to listen. Off loopback anybody may send, so there
// must be a signature to tell them apart.
func listenAddr(s string, verifying bool) (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		return nil, refused("--addr: %w (write HOST:PORT, such as 127.0.0.1:9000)", err)
	}
	if !addr.IP.IsLoopback() && !verifying {
		return nil, refused("--addr: %s can be reached from other machines and nothing would be verified "+
			"(add --secret, or listen on 127.0.0.1:%d)", s, addr.Port)
	}
	return addr, nil
}

// A receptionPrinter shows people what arrived. What it prints was written by
// others and is cleaned first.
type receptionPrinter struct {
	out       io.Writer
	palette   palette
	bodies    bool
	headers   bool
	verifying bool
}

func (p receptionPrinter) print(got reception) {
	var b strings.Builder
	b.WriteString(p.palette.faint(got.At.Format("15:04:05.000")))
	b.WriteByte(' ')
	b.WriteString(p.verdict(got))
	for _, part := range []string{got.Type, got.ID, got.Title} {
		if part != "" {
			b.WriteString("  ")
			b.WriteString(cleanLine(part))
		}
	}
	b.WriteString(p.palette.faint("  → " + answer(got)))
	b.WriteByte('\n')
	if p.headers {
		writeHeaders(&b, got)
	}
	if p.bodies {
		b.WriteString(indentBody(got.Body))
	}
	// Nothing can be done about a terminal that is gone; the record goes on.
	_, _ = io.WriteString(p.out, b.String())
}

func (p receptionPrinter) verdict(got reception) string {
	var s string
	switch {
	case got.Problem != nil:
		s = p.palette.bad("✗ " + cleanLine(got.Problem.Error()))
	case !p.verifying:
		s = "· not verified"
	default:
		s = p.palette.good("✓ verified")
	}
	switch {
	case got.Changed:
		s += ", " + p.palette.bad("same id with another body")
	case got.Repeat:
		s += ", repeat"
	case got.Attempt > 1:
		s += ", attempt " + strconv.Itoa(got.Attempt)
	}
	return s
}

func answer(got reception) string {
	switch {
	case got.Fault == "":
		return strconv.Itoa(got.Status)
	case got.Status == 0, strings.HasPrefix(got.Fault, strconv.Itoa(got.Status)):
		return cleanLine(got.Fault) + " on purpose"
	}
	return fmt.Sprintf("%d, %s on purpose", got.Status, cleanLine(got.Fault))
}

func writeHeaders(b *strings.Builder, got reception) {
	var text bytes.Buffer
	if err := got.Header.Write(&text); err != nil {
		return // a buffer takes everything
	}
	for line := range strings.Lines(text.String()) {
		b.WriteString("    " + cleanLine(strings.TrimRight(line, "\r\n")) + "\n")
	}
}

// indentBody lays a body out for reading: JSON by its structure, anything else
// line by line.
func indentBody(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	const margin = "    "
	shown := body[:min(len(body), maxShown)]
	var text bytes.Buffer
	if len(shown) < len(body) || json.Indent(&text, body, margin, "  ") != nil {
		text.Reset()
		text.Write(bytes.ReplaceAll(bytes.TrimRight(shown, "\r\n"), []byte("\n"), []byte("\n"+margin)))
	}
	s := margin + cleanText(text.String()) + "\n"
	if len(shown) < len(body) {
		s += fmt.Sprintf("%s… and %d bytes more\n", margin, len(body)-len(shown))
	}
	return s
}

const secretUsage = "secret as whsec_…, or @FILE that holds it (default: $TOCSIN_SECRET)" // #nosec G101 -- a help text

// readSecrets takes secrets from flags or, when there is none, from the
// environment. A file or a variable may hold several, as while rotating.
func readSecrets(flags []string, lookupEnv func(string) (string, bool)) ([]webhook.Secret, error) {
	if len(flags) == 0 {
		text, ok := lookupEnv("TOCSIN_SECRET")
		if !ok {
			return nil, nil
		}
		return parseSecrets("TOCSIN_SECRET", text)
	}
	var secrets []webhook.Secret
	for _, flag := range flags {
		place, text := "--secret", flag
		if path, ok := strings.CutPrefix(flag, "@"); ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, refused("--secret: %w", err)
			}
			place, text = path, string(data)
		}
		more, err := parseSecrets(place, text)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, more...)
	}
	return secrets, nil
}

func parseSecrets(place, text string) ([]webhook.Secret, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, refused("%s: is empty (make a secret with: tocsin keygen)", place)
	}
	secrets := make([]webhook.Secret, len(fields))
	for i, field := range fields {
		var err error
		if secrets[i], err = webhook.ParseSecret(field); err != nil {
			return nil, refused("%s: %w", place, err)
		}
	}
	return secrets, nil
}
