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
	sign    []string
	url     string
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
		Long: `Listen is a receiver for developers. It verifies every request in each way in which
it is signed, says which, says whether it is a repeat, prints the body, and answers
200, or badly where --fault says so:

  500:0.2        a status, for one request in five; 410 says: no more of these
  429/2s:0.1     a status with Retry-After (429 and others)
  302/URL:0.1    a redirect (3xx); without a URL it leads back here, as redirect:0.1 does
  hang:0.01      no answer, the connection stays open
  slow/20s:0.1   a good answer, late
  drip:0.1       a good status, then a byte a second
  big:0.1        a good status, then a body without end
  bomb:0.1       a good status, then a gigabyte, packed into a megabyte
  reset:0.1      no answer, a TCP reset;   close:0.1  no answer, a plain close

A request is good when one of its signatures verifies, or with --sign when all that
are named do; any other is answered 401. Who signs the URL (rfc9421) signs the one
it was given: behind a proxy or a tunnel, say it with --url. A challenge, by which a
registered endpoint is verified, is answered with its text.
--out appends one line of JSON a request: id, type, at, verified, schemes, attempt,
status, method, url, headers, body, and raw, which is the body to the byte in base64.`,
		Example: `  tocsin listen --secret @secrets/ops
  tocsin listen --secret @secrets/ops --fault 500:0.2,hang:0.05 --out received.jsonl -q`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listen(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "127.0.0.1:9000", "address to listen on; port 0 takes a free one")
	flags.StringArrayVar(&f.secrets, "secret", nil, secretUsage+"; may be repeated")
	signFlags(cmd, &f.sign, &f.url)
	flags.StringVar(&f.fault, "fault", "", "answer badly: KIND:PROBABILITY,…")
	flags.Uint64Var(&f.seed, "seed", 1, "decides which requests are answered badly")
	flags.StringVar(&f.out, "out", "", "append every request to this file, one line of JSON each")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "one line a request, without the body")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print the headers too")
	return cmd
}

func listen(ctx context.Context, e env, f listenFlags) (err error) {
	wanted, err := readKeys(f.secrets, f.sign, e.LookupEnv)
	if err != nil {
		return err
	}
	faults, err := parseFaults(f.fault)
	if err != nil {
		return refused("--fault: %w", err)
	}
	o := receiverOptions{Secrets: wanted.Secrets, Public: wanted.Public, Schemes: wanted.schemes, URL: f.url, Faults: faults, Seed: f.seed}
	addr, err := listenAddr(f.addr, o.verifying())
	if err != nil {
		return err
	}
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
		bodies: !f.quiet, headers: f.verbose, verifying: o.verifying(),
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
		b.WriteString(indentBody(got.Text))
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
		if named := p.schemes(got.Found); named != "" {
			s += " " + named
		}
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

// schemes names those that verify and those that do not, unless there is only
// the usual one.
func (p receptionPrinter) schemes(found []webhook.Finding) string {
	if len(found) == 1 && found[0].Scheme == webhook.Standard {
		return ""
	}
	var good []string
	var bad string
	for _, f := range found {
		if f.Err == nil {
			good = append(good, string(f.Scheme))
			continue
		}
		bad += ", " + p.palette.bad("✗ "+string(f.Scheme)+": "+cleanLine(f.Err.Error()))
	}
	return strings.Join(good, " ") + bad
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
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", got.Method, got.URL) // as verify reads it
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
