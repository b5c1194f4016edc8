package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// within bounds a question.
func (f *doctorFlags) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, f.patience, fmt.Errorf("no answer within %s", f.patience))
}

// examineUnasked asks a bridge that wants no token which devices say nothing that a rule
// asks for.
func examineUnasked(ctx context.Context, cfg *config.Config, client *http.Client, ready *http.Request) []finding {
	if cfg.HTTP.Token.Reveal() != "" { // it is not sent to whoever answers there
		return nil
	}
	req := ready.Clone(ctx)
	req.URL.Path = "/api/v1/rejects"
	resp, err := client.Do(req)
	if err != nil {
		return nil // it has just said that it is ready
	}
	defer func() { _ = resp.Body.Close() }()
	var list rejected
	if json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&list) != nil || len(list.Unasked) == 0 {
		return nil
	}
	u := &list.Unasked[0]
	return []finding{{suspect, "bridge", fmt.Sprintf("%s heard, of which no rule asks for anything: %q %s", count(len(list.Unasked), "device"), u.Device, u.Text),
		"tocsin rejected unasked lists them"}}
}

// examineBridge asks the bridge that runs whether it is ready.
func examineBridge(ctx context.Context, cfg *config.Config, runs bool, f doctorFlags) []finding {
	switch {
	case !runs:
		return []finding{{fine, "bridge", "none runs with this store", ""}}
	case cfg.HTTP.Listen == "" || strings.HasSuffix(cfg.HTTP.Listen, ":0"):
		return []finding{{fine, "bridge", "one runs, and cannot be asked: http.listen names no port", ""}}
	}
	ctx, cancel := f.within(ctx)
	defer cancel()
	scheme := "http"
	if cfg.HTTP.TLS.Cert != "" {
		scheme = "https"
	}
	url := scheme + "://" + reachable(cfg.HTTP.Listen) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return []finding{{wrong, "bridge", err.Error(), "correct http.listen"}}
	}
	req.Header.Set("Accept", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // #nosec G402 -- it is this machine, nothing secret is sent, and certificates are looked at elsewhere
	}}}
	resp, err := client.Do(req)
	if err != nil {
		return []finding{{wrong, "bridge", "one runs, and does not answer at " + url, "its log says why"}}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Reasons, Restart []string
		Detail           string // of who does not answer to that name
	}
	_ = json.Unmarshal(body, &said) // of what is no JSON the status is said
	if resp.StatusCode == http.StatusOK {
		found := []finding{{fine, "bridge", "it is ready", ""}}
		if len(said.Restart) > 0 {
			found = append(found, finding{suspect, "bridge", strings.Join(said.Restart, ", ") + ": what " + cfg.Path + " says takes effect at the next start only", "restart tocsin"})
		}
		return append(found, examineUnasked(ctx, cfg, &client, req)...)
	}
	why := cmp.Or(strings.Join(said.Reasons, "; "), said.Detail, resp.Status)
	return []finding{{wrong, "bridge", "it is not ready: " + why, "its log says more"}}
}

// reachable is where a listener answers: every address is also this machine's.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// examineBroker sends a message around.
func examineBroker(ctx context.Context, cfg *config.Config, runs bool, f doctorFlags) []finding {
	o, skipped, err := brokerOptions(cfg, runs, f)
	if err != nil {
		return []finding{{wrong, "broker", err.Error(), "correct it in " + cfg.Path}}
	}
	if skipped != "" {
		return []finding{{fine, "broker", skipped, ""}}
	}
	ctx, cancel := f.within(ctx)
	defer cancel()
	o.ClientID = "tocsin-doctor-" + rand.Text()[:8]
	return []finding{judgeTrip(broker.RoundTrip(ctx, o, broker.ProbeTopic+o.ClientID))}
}

// brokerOptions are how to reach the broker, or why it is not asked.
func brokerOptions(cfg *config.Config, runs bool, f doctorFlags) (o broker.ClientOptions, skipped string, err error) {
	if b := cfg.Broker.External; cfg.Broker.Mode == config.External {
		o = broker.ClientOptions{URL: b.URL, Username: b.Username, Password: b.Password.Reveal()}
		o.TLS, err = b.TLS.ClientConfig()
		return o, "", err
	}
	b := cfg.Broker.Embedded
	switch {
	case !runs:
		return o, "the embedded one is asked while a bridge runs", nil
	case len(b.Users) > 0 && f.username == "":
		return o, "the embedded one wants a user, and is not asked (-u and -P name one)", nil
	case b.Listen == "" && b.TLS.Listen == "":
		return o, "the embedded one does not listen", nil
	case b.Listen != "":
		return broker.ClientOptions{URL: "mqtt://" + reachable(b.Listen), Username: f.username, Password: f.password}, "", nil
	}
	return broker.ClientOptions{
		URL: "mqtts://" + reachable(b.TLS.Listen), Username: f.username, Password: f.password,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, // #nosec G402 -- as in examineBridge
	}, "", nil
}

func judgeTrip(took time.Duration, err error) finding {
	switch {
	case errors.Is(err, broker.ErrNotAllowed):
		return finding{suspect, "broker", "it lets us in; " + err.Error(), "nothing is wrong if that topic is not ours to use"}
	case err != nil:
		fact, remedy := cutRemedy(err.Error())
		return finding{wrong, "broker", fact, cmp.Or(remedy, "its log says why; may we publish there?")}
	}
	return finding{fine, "broker", "a message came back after " + took.Round(10*time.Microsecond).String(), ""}
}

// cutRemedy takes a text of ours apart that ends in its remedy.
func cutRemedy(text string) (fact, remedy string) {
	if before, after, ok := strings.Cut(text, " ("); ok && strings.HasSuffix(after, ")") {
		return before, strings.TrimSuffix(after, ")")
	}
	return text, ""
}

// examineEndpoints asks a few endpoints at a time.
func examineEndpoints(ctx context.Context, cfg *config.Config, f doctorFlags) []finding {
	names := sortedKeys(cfg.Endpoints)
	found := make([][]finding, len(names))
	var wg sync.WaitGroup
	free := make(chan struct{}, 16)
	for i, name := range names {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			found[i] = examineEndpoint(ctx, name, cfg, f)
		})
	}
	wg.Wait()
	return slices.Concat(found...)
}

func examineEndpoint(ctx context.Context, name string, cfg *config.Config, f doctorFlags) []finding {
	place := "endpoint " + name
	d, err := newDestination(name, cfg.Endpoints[name], cfg.OwnListeners())
	if err != nil {
		return []finding{{wrong, place, err.Error(), "correct it in " + cfg.Path}}
	}
	defer d.sender.Close()
	ctx, cancel := f.within(ctx)
	defer cancel()
	r := d.sender.Connect(ctx)
	if r.Err != nil {
		fact, remedy := cutRemedy(r.Err.Error())
		return []finding{{wrong, place, fact, cmp.Or(remedy, "what it is told waits until that is mended")}}
	}
	found := []finding{{fine, place, fmt.Sprintf("%s answers after %s", r.Addr, r.Took.Round(100*time.Microsecond)), ""}}
	if !r.CertExpiry.IsZero() {
		if end := judgeExpiry(place, "its certificate", r.CertExpiry, time.Now()); end.Verdict == fine {
			found[0].Fact += ", " + end.Fact
		} else {
			found = append(found, end)
		}
	}
	if f.ping {
		found = append(found, judgePing(place, ping(ctx, &d)))
	}
	return found
}

// ping sends an endpoint a test.ping, over the path of every event.
func ping(ctx context.Context, d *destination) preset.Reply {
	now := time.Now()
	ev := rules.Event{ID: "evt_" + rand.Text(), Type: rules.TestPing, At: now, Title: "tocsin: a test of endpoint " + d.Name, Because: "tocsin doctor was asked to"}
	data, err := ev.AppendJSON(nil)
	if err != nil {
		return preset.Reply{Result: webhook.Result{Err: err}}
	}
	return d.Send(ctx, []preset.Notice{{ID: ev.ID, Type: ev.Type, At: ev.At, Data: data}})
}

func judgePing(place string, r preset.Reply) finding {
	const far = time.Minute // receivers refuse what is five minutes old or ahead
	switch {
	case r.Verdict != webhook.Accepted:
		fact := fmt.Sprint("it does not accept: ", r.Err)
		fact, remedy := cutRemedy(fact)
		return finding{wrong, place, fact, cmp.Or(remedy, "tocsin preview shows what it is sent")}
	case r.Skew.Abs() > far:
		return finding{suspect, place, fmt.Sprintf("it accepts; its clock is ahead of ours by %s", r.Skew.Round(time.Second)), "one of them is wrong, and signatures carry the time"}
	}
	return finding{fine, place, fmt.Sprintf("it accepts: %d %s", r.Status, http.StatusText(r.Status)), ""}
}
