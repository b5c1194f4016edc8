package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
	"tocsin/bridge/config"
)

const (
	defaultServer = "http://127.0.0.1:8080"
	clientTimeout = time.Minute
	maxAnswer     = 64 << 20
)

// clientFlags are those of every command that asks a running bridge.
type clientFlags struct {
	server    string
	config    string
	tokenFile string
	cafile    string
	asJSON    bool
}

// add declares the flags on cmd and the commands below it.
func (f *clientFlags) add(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.server, "server", "", "where the bridge answers (default: what -c says, the variable TOCSIN_SERVER, http.listen of ./"+defaultConfig+", or "+defaultServer+")")
	flags.StringVarP(&f.config, "config", "c", "", "ask the bridge of this configuration file")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the bearer token (default: the variable TOCSIN_TOKEN)")
	flags.StringVar(&f.cafile, "cafile", "", "PEM file with whom to trust for https, instead of the system's roots")
	flags.BoolVar(&f.asJSON, "json", false, "print the answer as JSON")
}

// An apiClient asks a running bridge.
type apiClient struct {
	base  *url.URL
	from  string // who says that it answers there, and how to say otherwise
	token string
	http  *http.Client
}

func newClient(e env, f clientFlags) (*apiClient, error) {
	server, place, from, err := f.address(e)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, refused("%s: %q is no address of a bridge (as in %s)", place, server, defaultServer)
	}
	trust, err := config.ClientTLS{CA: f.cafile}.ClientConfig()
	if err != nil {
		return nil, refused("--cafile: %v (name a PEM file that you may read)", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	token, _ := e.LookupEnv("TOCSIN_TOKEN")
	if f.tokenFile != "" {
		data, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return nil, refused("--token-file: %v (name a file that you may read)", err)
		}
		token = string(data)
	}
	return &apiClient{base: base, from: from, token: strings.TrimSpace(token), http: &http.Client{
		Transport: transport,
		Timeout:   clientTimeout,
		// A redirect would take the token along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// address is where to ask, the place that says so, and that in words.
func (f *clientFlags) address(e env) (server, place, from string, err error) {
	if f.server != "" {
		return f.server, "--server", "--server says where it answers", nil
	}
	if set, _ := e.LookupEnv("TOCSIN_SERVER"); set != "" && f.config == "" {
		return set, "TOCSIN_SERVER", "the variable TOCSIN_SERVER says so; --server says where it answers", nil
	}
	path := cmp.Or(f.config, defaultConfig)
	listen, secure, err := config.ReadHTTP(path, e.LookupEnv)
	_, port, _ := net.SplitHostPort(listen)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.config == "":
		return defaultServer, "--server", "that is the default; --server says where it answers, and so does " + defaultConfig + " in this folder, or -c FILE", nil
	case err != nil && f.config == "": // the bridge runs by what it was
		return defaultServer, "--server", "that is the default, since " + err.Error() + "; --server says where it answers", nil
	case err != nil:
		return "", "", "", refused("-c: %v (--server says where the bridge answers)", err)
	case port == "" || port == "0":
		return "", "", "", refused("%s: http.listen is %q, where no bridge can be asked (--server says where it answers)", path, listen)
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	return scheme + reachable(listen), path, "http.listen of " + path + " says so; --server says where it answers", nil
}

// An answered is the problem that a bridge answered with.
type answered struct {
	Status   int           `json:"status"`
	Detail   string        `json:"detail"`
	Problems []api.Problem `json:"problems"`
}

func (a *answered) Error() string { return a.Detail }

// do sends a request whose path is given in parts that may hold anything, and
// returns the body of the answer.
func (c *apiClient) do(ctx context.Context, method string, path []string, query url.Values, body any) ([]byte, error) {
	u := *c.base
	u = *u.JoinPath("api", "v1")
	plain, escaped := u.Path, u.EscapedPath()
	for _, part := range path {
		plain, escaped = plain+"/"+part, escaped+"/"+url.PathEscape(part)
	}
	u.Path, u.RawPath, u.RawQuery = plain, escaped, query.Encode()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	for {
		resp, answer, err := c.send(ctx, method, u.String(), content)
		if err != nil {
			return nil, err
		}
		if wait := tooSoon(resp); wait > 0 {
			select { // the request was not looked at: a long list is asked for in many
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(wait):
				continue
			}
		}
		if resp.StatusCode < 200 || resp.StatusCode >= 300 {
			return nil, c.problem(resp, answer)
		}
		if resp.StatusCode != http.StatusNoContent && !json.Valid(answer) { // whoever that is, nothing was done
			return nil, fmt.Errorf("%s: answered what is no JSON (is it a bridge of this version?)", c.base.Redacted())
		}
		return answer, nil
	}
}

// tooSoon is how long to wait before a request that came too soon is sent again; 0
// where it did not, or nobody would wait so long.
func tooSoon(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusTooManyRequests || err != nil || seconds < 1 || seconds > 10 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// send sends one request and reads the answer.
func (c *apiClient) send(ctx context.Context, method, address string, content []byte) (*http.Response, []byte, error) {
	var body io.Reader
	if content != nil {
		body = bytes.NewReader(content)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which is the place
		}
		return nil, nil, c.unreached(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: reading the answer: %w", c.base.Redacted(), err)
	}
	return resp, answer, nil
}

// unreached is the error that no answer came.
func (c *apiClient) unreached(err error) error {
	remedy := "is tocsin run running there? " + c.from
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		call    syscall.Errno
	)
	switch {
	case errors.As(err, &unknown):
		remedy = "--cafile names the certificate of who signed it"
	case errors.As(err, &name):
		remedy = "--server must say the name that its certificate is for"
	case errors.As(err, &record):
		remedy = "it does not speak TLS there: --server http://" + c.base.Host
	case errors.As(err, &call): // without the address, which is said
		err = call
	case errors.Is(err, io.EOF) && c.base.Scheme == "http":
		remedy = "does it speak TLS there? --server https://" + c.base.Host
	}
	return fmt.Errorf("%s: %w (%s)", c.base.Redacted(), err, remedy)
}

// problem is the error that an answer tells of.
func (c *apiClient) problem(resp *http.Response, answer []byte) error {
	var p answered
	if bytes.Contains(answer, []byte("an HTTP request to an HTTPS server")) {
		return fmt.Errorf("%s: it speaks TLS there (--server https://%s)", c.base.Redacted(), c.base.Host)
	}
	if json.Unmarshal(answer, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s: answered %s (is it a bridge of this version?)", c.base.Redacted(), resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized && c.token == "" {
		return fmt.Errorf("%s: a token is needed (set TOCSIN_TOKEN or --token-file to that of http.token, or one of your own)", c.base.Redacted())
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %w (TOCSIN_TOKEN or --token-file must be that of http.token, or one that tocsin tokens lists)", c.base.Redacted(), &p)
	}
	return fmt.Errorf("%s: %w", c.base.Redacted(), &p)
}

// get prints what a running bridge answers at a path: as it came, for programs, or
// as write does, for people.
func get[T any](ctx context.Context, e env, f clientFlags, path []string, write func(io.Writer, T) error) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path[0], err)
	}
	return show(e, f.asJSON, answer, write)
}

// A listing is which part of a list is asked for, and how.
type listing struct {
	name    string     // of the list, and of its entries in an answer
	query   url.Values // filters
	since   string     // the flag --since
	limit   int        // at most so many; 0 is all
	nothing string     // what is said of none
}

// list prints what a running bridge lists: as JSON, for programs, or as write does,
// for people.
func list[T any](ctx context.Context, e env, f clientFlags, l listing, write func(io.Writer, []T) error) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	since, err := timeFlag("--since", l.since, time.Now())
	if err != nil {
		return err
	}
	if !since.IsZero() {
		l.query.Set("since", since.Format(time.RFC3339Nano))
	}
	all, next, err := pages[T](ctx, c, l.name, l.query, l.limit)
	switch {
	case err != nil:
		return err
	case f.asJSON:
		answer := map[string]any{l.name: all}
		if next != "" {
			answer["next"] = next
		}
		return writeIndented(e.Stdout, answer)
	case len(all) == 0: // words are no entry of a list
		_, err = fmt.Fprintln(e.Stderr, l.nothing)
		return err
	}
	if err := write(e.Stdout, all); err != nil || next == "" {
		return err
	}
	_, err = fmt.Fprintln(e.Stdout, "… and more (--limit 0 lists all)")
	return err
}

// pages asks for page after page of a list, and returns at most limit of it; 0 is
// all. Next is of the first page that was not asked for.
func pages[T any](ctx context.Context, c *apiClient, name string, query url.Values, limit int) (all []T, next string, err error) {
	const most = 1000 // of a page
	all = []T{}       // a list, never null
	for {
		query.Set("limit", strconv.Itoa(most))
		if limit > 0 {
			query.Set("limit", strconv.Itoa(min(most, limit-len(all))))
		}
		answer, err := c.do(ctx, http.MethodGet, []string{name}, query, nil)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		var page map[string]json.RawMessage
		var part []T
		next = ""
		err = json.Unmarshal(answer, &page)
		if err == nil {
			err = json.Unmarshal(page[name], &part)
		}
		if err == nil && page["next"] != nil {
			err = json.Unmarshal(page["next"], &next)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s: reading the answer: %w (is it a bridge of this version?)", name, err)
		}
		all = append(all, part...)
		if next == "" || limit > 0 && len(all) >= limit {
			return all, next, nil
		}
		query.Set("cursor", next)
	}
}

// filter is the query for those values that are not empty.
func filter(values map[string]string) url.Values {
	query := url.Values{}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// show prints an answer: as it came, for programs, or as write does, for people.
func show[T any](e env, asJSON bool, answer []byte, write func(io.Writer, T) error) error {
	if asJSON {
		var out bytes.Buffer
		if err := json.Indent(&out, answer, "", "  "); err != nil {
			return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
		}
		_, err := e.Stdout.Write(append(bytes.TrimSpace(out.Bytes()), '\n'))
		return err
	}
	var v T
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
	}
	err := write(e.Stdout, v)
	if none := noneError(""); errors.As(err, &none) {
		_, err = fmt.Fprintln(e.Stderr, string(none))
	}
	return err
}

// A noneError is what there is to say of a list without entries. It goes where it
// is not taken for one.
type noneError string

func (n noneError) Error() string { return string(n) }

// A deed is what --json prints of what was done where a bridge has no more to say;
// its names are public.
type deed struct {
	Done string `json:"done"` // the command
	Name string `json:"name"` // what it was done to
}

// did says that something was done: as JSON, for programs, or in words.
func did(e env, asJSON bool, d deed, words string) error {
	if asJSON {
		return writeIndented(e.Stdout, d)
	}
	_, err := fmt.Fprintf(e.Stdout, "%s %s\n", cleanLine(d.Name), words)
	return err
}
