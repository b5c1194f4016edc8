package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/survey"
	"tocsin/broker"
)

// observeFlags say where init looks for traffic. They are called as Mosquitto's.
type observeFlags struct {
	length             time.Duration
	url, host          string
	port               int
	topics             []string
	username, password string
	tls                config.ClientTLS
	listen             string
	asJSON             bool
}

func (f *observeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.length, "observe", 0, "look at live traffic for so long first, as 60s, and propose what it is")
	flags.StringVar(&f.url, "url", "", "broker to look at, as mqtts://broker.example.com:8883 (default: listen for devices here)")
	flags.StringVar(&f.host, "host", "", "broker to look at, by its name")
	flags.IntVarP(&f.port, "port", "p", 0, "and its port (default: 1883, or 8883 with --cafile)")
	flags.StringArrayVarP(&f.topics, "topic", "t", []string{"#"}, "topics to look at; may be repeated")
	flags.StringVarP(&f.username, "username", "u", "", "who to be at the broker")
	flags.StringVarP(&f.password, "pw", "P", "", "the password for that (default: the variable TOCSIN_MQTT_PASSWORD)")
	flags.StringVar(&f.tls.CA, "cafile", "", "PEM file with whom to trust, instead of the system's roots")
	flags.StringVar(&f.tls.Cert, "cert", "", "PEM file with our certificate")
	flags.StringVar(&f.tls.Key, "key", "", "PEM file with its key")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:1883", "where to listen for devices, if no broker is named")
	flags.BoolVar(&f.asJSON, "json", false, "with --observe, print what was seen as JSON")
}

// check completes the flags, or refuses them.
func (f *observeFlags) check(cmd *cobra.Command, e env) error {
	if f.length == 0 {
		for _, name := range []string{"url", "host", "port", "topic", "username", "pw", "cafile", "cert", "key", "listen", "json"} {
			if cmd.Flags().Changed(name) {
				return usageError(cmd, "--"+name+" is of --observe, which is not given")
			}
		}
		return nil
	}
	switch {
	case f.length < 0:
		return usageError(cmd, fmt.Sprintf("--observe: %v is no time to look for", f.length))
	case f.url != "" && f.host != "":
		return usageError(cmd, "--url and --host name two brokers")
	case f.url == "" && f.host == "" && (f.port != 0 || f.username != "" || f.tls != config.ClientTLS{} || cmd.Flags().Changed("topic")):
		return usageError(cmd, "there is no broker to look at: name it by --host or --url")
	}
	if f.host != "" {
		scheme, port := "mqtt", 1883
		if f.tls.CA != "" {
			scheme, port = "mqtts", 8883
		}
		f.url = scheme + "://" + net.JoinHostPort(f.host, strconv.Itoa(cmp.Or(f.port, port)))
	}
	if u, err := url.Parse(f.url); err == nil && u.User != nil { // what is written down has no secret in it
		password, _ := u.User.Password()
		f.username, f.password = cmp.Or(f.username, u.User.Username()), cmp.Or(f.password, password)
		u.User = nil
		f.url = u.String()
	}
	if f.password == "" && f.username != "" {
		f.password, _ = e.LookupEnv("TOCSIN_MQTT_PASSWORD")
	}
	return nil
}

// An observed is what was seen, and what init makes of it; its names are public.
type observed struct {
	Where    string          `json:"where"`
	Messages int             `json:"messages"`
	Topics   int             `json:"topics"`
	Sources  []survey.Source `json:"sources"`
	Faults   []survey.Fault  `json:"faults"`
	Files    []string        `json:"files"`

	proposal *survey.Proposal
}

// observe looks at traffic until the time is over or ctx ends: who is in a hurry
// presses Ctrl-C, and gets what was seen by then.
func observe(ctx context.Context, e env, f observeFlags) (*observed, error) {
	s, err := survey.New(survey.Options{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.length)
	defer cancel()
	o := &observed{Where: f.url}
	if f.url != "" {
		fmt.Fprintf(e.Stderr, "looking at %s for %s; Ctrl-C ends it earlier\n", f.url, f.length)
		stop := showProgress(ctx, e, s, f.length)
		err = f.watch(ctx, s)
		stop()
	} else {
		o.Where, err = f.receive(ctx, e, s)
	}
	if err != nil {
		return nil, fmt.Errorf("init: looking at %s: %w", cmp.Or(f.url, f.listen), err)
	}
	o.proposal = s.Propose()
	o.Messages, o.Topics = s.Seen()
	o.Sources, o.Faults = o.proposal.Found, o.proposal.Faults
	return o, nil
}

// watch looks at a broker.
func (f *observeFlags) watch(ctx context.Context, s *survey.Survey) error {
	trust, err := f.tls.ClientConfig()
	if err != nil {
		return err
	}
	return broker.Watch(ctx, broker.ClientOptions{
		URL: f.url, ClientID: "tocsin-init-" + rand.Text()[:8], Username: f.username, Password: f.password, TLS: trust, Topics: f.topics,
	}, s.Take)
}

// receive listens for devices, as the broker that the bridge is going to be.
func (f *observeFlags) receive(ctx context.Context, e env, s *survey.Survey) (where string, err error) {
	b, err := broker.NewEmbedded(broker.EmbeddedOptions{
		Listen: f.listen, Anonymous: broker.AnonymousLoopback, Rate: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	where = b.Addrs()[0].String()
	fmt.Fprintf(e.Stderr, "listening for devices on %s for %s; Ctrl-C ends it earlier\n", where, f.length)
	defer showProgress(ctx, e, s, f.length)()
	return where, b.Run(ctx, func(m broker.Message) broker.Receipt {
		s.Take(m)
		return nil
	})
}

// showProgress says on a terminal how it goes, until stop is called.
func showProgress(ctx context.Context, e env, s *survey.Survey, length time.Duration) (stop func()) {
	if !isTerminal(e.Stderr) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() {
		begun, every := time.Now(), time.NewTicker(200*time.Millisecond)
		defer every.Stop()
		defer fmt.Fprint(e.Stderr, "\r\x1b[K")
		const width = 30
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			messages, topics := s.Seen()
			past := min(time.Since(begun), length)
			full := int(width * past / length)
			fmt.Fprintf(e.Stderr, "\r\x1b[K[%s%s] %s, %s in %s", strings.Repeat("=", full), strings.Repeat(" ", width-full),
				rounded(length-past), count(messages, "message"), count(topics, "topic"))
		}
	})
	return func() { cancel(); shown.Wait() }
}

// nothing says that there is nothing to propose, and what to try.
func (o *observed) nothing(f observeFlags) error {
	switch {
	case len(o.Sources) > 0:
		return nil
	case o.Messages > 0:
		return &exitError{code: exitFailed, err: errors.New("init: nothing that came can be decoded, and nothing was written (tocsin decodes JSON, plain values and presence)")}
	case f.url == "":
		return &exitError{code: exitFailed, err: fmt.Errorf("init: no message came to %s in %s, and nothing was written "+
			"(let devices send there, wait for longer, or look at the broker that they use with --url)", o.Where, f.length)}
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("init: no message came from %s for %s in %s, and nothing was written "+
		"(do devices send there, to that topic? may this user read it? wait for longer than they do between two messages)",
		o.Where, strings.Join(f.topics, ", "), f.length)}
}

// fill replaces, in what init writes otherwise, the parts that were seen.
func (o *observed) fill(files []newFile, f observeFlags) ([]newFile, error) {
	var all []newFile
	for _, file := range files {
		switch file.name {
		case "rules/first.toml":
			file.name, file.text = "rules/observed.toml", "#:schema ../schema/rules.json\n"+o.proposal.Rules
		case "tocsin.toml":
			const from, to = "# ---- where messages come from", "# ---- what is kept"
			before, rest, ok := strings.Cut(file.text, from)
			_, after, found := strings.Cut(rest, to)
			if !ok || !found {
				return nil, errors.New("init: the configuration that it writes has no place for what was seen")
			}
			middle, err := o.middle(f)
			if err != nil {
				return nil, err
			}
			file.text = before + from + " ----------------------------------------------\n\n" + middle + to + after
		}
		all = append(all, file)
	}
	if f.password != "" {
		all = append(all, newFile{"secrets/mqtt", f.password + "\n", 0o600})
	}
	return all, nil
}

// middle is the part of the configuration that says where messages come from and
// what they mean.
func (o *observed) middle(f observeFlags) (string, error) {
	var b strings.Builder
	if f.url == "" {
		fmt.Fprintf(&b, "# A broker of its own. For devices on other machines: a listener that they can\n# reach, and users (tocsin hash-password).\n[broker.embedded]\nlisten = %s\n", survey.Quote(f.listen))
	} else {
		fmt.Fprintf(&b, "[broker]\nmode = \"external\"\n\n[broker.external]\nurl       = %s\nclient_id = %q   # nobody else's: the broker keeps messages for it\n", survey.Quote(f.url), "tocsin-"+strings.ToLower(rand.Text()[:6]))
		if f.username != "" {
			fmt.Fprintf(&b, "username  = %s\n", survey.Quote(f.username))
		}
		if f.password != "" {
			b.WriteString("password  = { file = \"secrets/mqtt\" }\n")
		}
		if f.tls != (config.ClientTLS{}) {
			var parts []string
			for _, file := range []struct{ key, path string }{{"ca", f.tls.CA}, {"cert", f.tls.Cert}, {"key", f.tls.Key}} {
				if file.path == "" {
					continue
				}
				path, err := filepath.Abs(file.path)
				if err != nil {
					return "", err
				}
				parts = append(parts, file.key+" = "+survey.Quote(path))
			}
			fmt.Fprintf(&b, "tls       = { %s }\n", strings.Join(parts, ", "))
		}
	}
	fmt.Fprintf(&b, "\n# ---- what messages mean ------------------------------------------------------\n\n# Proposed after looking for %s: %s in %s.\n\n%s",
		f.length, count(o.Messages, "message"), count(o.Topics, "topic"), o.proposal.Sources)
	if text := o.proposal.FaultText(); text != "" {
		b.WriteString("# What came and is not taken:\n#\n" + text + "\n")
	}
	return b.String(), nil
}

// write prints what was seen, for people.
func (o *observed) write(w io.Writer) error {
	fmt.Fprintf(w, "%s in %s\n\n", count(o.Messages, "message"), count(o.Topics, "topic"))
	if len(o.Sources) > 0 {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "SOURCE\tTOPIC\tDECODER\tDEVICES\tMESSAGES\tEVERY")
		for i := range o.Sources {
			s := &o.Sources[i]
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", s.Name, cleanLine(s.Topic), s.Decoder, s.Devices, s.Messages, cmp.Or(s.Every, "-"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, fault := range o.Faults {
		fmt.Fprintf(w, "not taken: %s of %s: %s\n", count(fault.Messages, "message"), cleanLine(fault.Topic), cleanLine(fault.Why))
	}
	if len(o.Faults) > 0 {
		fmt.Fprintln(w)
	}
	return nil
}
