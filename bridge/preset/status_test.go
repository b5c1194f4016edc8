package preset

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

var update = flag.Bool("update", false, "write the table of statuses anew")

const statusPage = "../../configs/endpoints/STATUS.md"

// shownStatuses are the columns of the table.
func shownStatuses() []int {
	return []int{200, 201, 204, 207, 302, 400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 500, 503}
}

// everyPreset makes a destination of each.
func everyPreset(t *testing.T) []*Destination {
	t.Helper()
	var all []*Destination
	for _, name := range Names() {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mustNew(t, Options{Preset: name, URL: "https://example.com/hook", With: with(p)}))
	}
	return all
}

// says writes what an exception looks for.
func (a *answer) says() string {
	var words []string
	if len(a.status) > 0 {
		var list []string
		for _, s := range a.status {
			if s < 10 {
				list = append(list, fmt.Sprintf("%dxx", s))
			} else {
				list = append(list, fmt.Sprint(s))
			}
		}
		words = append(words, strings.Join(list, ", "))
	}
	if a.equals != "" {
		words = append(words, fmt.Sprintf("the body is `%s`", a.equals))
	}
	if a.contains != "" {
		words = append(words, fmt.Sprintf("the body contains `%s`", a.contains))
	}
	switch {
	case a.path != nil && a.exists:
		words = append(words, fmt.Sprintf("there is `%s`", a.path))
	case a.path != nil:
		words = append(words, fmt.Sprintf("`%s` is `%s`", a.path, text(a.is)))
	}
	return strings.Join(words, " and ")
}

func (p jsonPath) String() string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range p {
		switch s.kind {
		case '.':
			b.WriteString("." + s.key)
		case '#':
			fmt.Fprintf(&b, "[%d]", s.index)
		default:
			for i, c := range s.conditions {
				b.WriteString([]string{"[", "&&"}[min(i, 1)] + c.key + "=" + strings.Join(c.values, "||"))
			}
			b.WriteByte(']')
		}
	}
	return b.String()
}

// brief is a duration without the parts that are nothing.
func brief(d time.Duration) string {
	return regexp.MustCompile(`(\D)(?:0[ms])+$`).ReplaceAllString(d.String(), "$1")
}

// page is the table as it is written.
func page(all []*Destination) string {
	var b strings.Builder
	b.WriteString("# What an answer means\n\nMade from the presets (`go test ./bridge/preset -run StatusTable -update`), and tested against them row by row.\n\n")
	b.WriteString("`ok` accepted · `retry` tried again by the schedule, and not before `Retry-After` · `no` refused: this message is given up and kept for replay · `off` the endpoint is disabled and parks what it is owed. Whatever brings no answer is tried again; 408 and 425 are as 429, other statuses of 5xx as 503.\n\n| preset |")
	for _, s := range shownStatuses() {
		fmt.Fprintf(&b, " %d |", s)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(shownStatuses())) + "\n")
	for _, d := range all {
		fmt.Fprintf(&b, "| %s |", d.preset.Name)
		for _, s := range shownStatuses() {
			fmt.Fprintf(&b, " %s |", short()[d.status.of(s)])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Where the status alone does not say\n\n| preset | request | answer | means |\n|---|---|---|---|\n")
	for _, d := range all {
		for _, row := range exceptions(d) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.preset.Name, cmp.Or(row.request, "any"), row.says, row.means)
		}
	}
	b.WriteString("\n## Where the wait is read, beside `Retry-After`\n\n| preset | from |\n|---|---|\n")
	for _, d := range all {
		for _, h := range d.hints {
			from := "header `" + h.header + "`"
			if h.path != nil {
				from = "`" + h.path.String() + "`"
			}
			if h.unix {
				from += ", a time in seconds since 1970"
			} else {
				from += ", in seconds"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", d.preset.Name, from)
		}
	}
	return b.String()
}

func short() map[verdict]string {
	return map[verdict]string{accepted: "ok", retry: "retry", refused: "no", disable: "off", forget: "forget"}
}

type exception struct{ request, says, means string }

func exceptions(d *Destination) []exception {
	var rows []exception
	add := func(request string, list []answer) {
		for _, a := range list {
			means := short()[a.then]
			if a.then == forget {
				means = "what was kept is void: goes on without"
			}
			if a.wait > 0 {
				means += ", and nothing is sent for " + brief(a.wait)
			}
			rows = append(rows, exception{request, a.says(), means})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.requests)) {
		q := d.requests[name]
		if q.success != nil {
			rows = append(rows, exception{name, "2xx, unless " + q.success.says(), "retry"})
		}
		add(name, q.answers)
	}
	add("", d.answers)
	return rows
}

// body makes an answer that an exception is looking for.
func (a *answer) body() string {
	if a.path == nil {
		return cmp.Or(a.equals, a.contains)
	}
	v := a.is
	if a.exists {
		v = "1"
	}
	for i := len(a.path) - 1; i >= 0; i-- {
		switch s := a.path[i]; s.kind {
		case '.':
			v = map[string]any{s.key: v}
		case '#':
			v = []any{v}
		default:
			m, _ := v.(map[string]any)
			for _, c := range s.conditions {
				keys := strings.Split(c.key, ".")
				var is any = c.values[0]
				for _, k := range slices.Backward(keys[1:]) {
					is = map[string]any{k: is}
				}
				m[keys[0]] = is
			}
			v = []any{m}
		}
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestStatusTableIsWhatThePresetsSay(t *testing.T) {
	want := page(everyPreset(t))
	if *update {
		if err := os.WriteFile(statusPage, []byte(want), 0o644); err != nil { // #nosec G306 -- a page for everybody
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statusPage)
	if err != nil || string(got) != want {
		t.Errorf("the table is not what the presets say (write it with -update): %v", err)
	}
}

// Every row of the page, asked of the code by a service that answers so.
func TestEveryRowOfTheStatusTableIsSo(t *testing.T) {
	var status int
	var said string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, said)
	}))
	t.Cleanup(srv.Close)
	sent, err := webhook.New(webhook.Options{URL: srv.URL, Unsigned: true, AllowHTTP: true, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sent.Close)
	verdicts := map[verdict]webhook.Verdict{accepted: webhook.Accepted, retry: webhook.Retry, refused: webhook.Refused, disable: webhook.Gone, forget: webhook.Accepted}
	rows := 0
	for _, name := range Names() {
		p, _ := Find(name)
		d := mustNew(t, Options{Preset: name, URL: srv.URL, With: with(p)})
		d.plain = false // which leaves it to the sender, tested there
		n := Sample(rules.AlarmFired)
		n.Kept = map[string]string{episodeKey: "ep_SAMPLE"}
		for _, q := range d.requests {
			for _, c := range slices.Concat(q.keep, q.take) {
				n.Kept[c.name] = "1"
			}
		}
		ask := func(q *request, code int, body string, want verdict) {
			rows++
			alone := *q
			alone.unless, alone.when = nil, nil
			d.requests[q.name], d.on[Raise] = &alone, []string{q.name}
			status, said = code, body
			if r := d.Send(t.Context(), sent.Send, []Notice{n}); r.Verdict != verdicts[want] || (r.Err == nil) != (r.Verdict == webhook.Accepted) {
				t.Errorf("%s %s: %d %q is %s (%v), expected %s", name, q.name, code, body, r.Verdict, r.Err, want)
			}
		}
		for _, q := range slices.Collect(maps.Values(d.requests)) {
			good := ""
			if q.search {
				good = "{}"
			}
			if q.success != nil {
				good = q.success.body()
				ask(q, 200, `{"ok":false}`, retry)
			}
			for _, code := range shownStatuses() {
				// What an exception says of a status is a row of its own.
				if !slices.ContainsFunc(slices.Concat(q.answers, d.answers), func(a answer) bool {
					return a.matches(&received{Result: webhook.Result{Status: code, Body: []byte(good)}})
				}) && !(code == 204 && good != "") {
					ask(q, code, good, d.status.of(code))
				}
			}
			for _, a := range slices.Concat(q.answers, d.answers) {
				for _, code := range a.status {
					if code < 10 {
						code = code*100 + 1
					}
					ask(q, code, a.body(), a.then)
				}
			}
		}
	}
	if rows < 1000 {
		t.Errorf("only %d rows were asked", rows)
	}
	t.Logf("%d rows", rows)
}
