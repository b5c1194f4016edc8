//go:build linux

package torture

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the store's files are read from outside

	sim "tocsin/firmware-sim"
)

// A promise is one of the nine, and what a judgement says of it.
type promise string

const (
	durable   promise = "P1 what was acknowledged is stored"
	delivered promise = "P2 what must be told is told, once as an id and in order"
	unmoved   promise = "P3 no alarm is moved by the fault itself"
	plain     promise = "P4 an error is one line with place, fact and remedy"
	unharmed  promise = "P5 others go on"
	bounded   promise = "P6 memory, goroutines and files are bounded"
	discreet  promise = "P7 no secret is seen"
	healed    promise = "P8 it heals alone"
	outspoken promise = "P9 it tells what is wrong"
)

// A verdict is what is wrong, by promise.
type verdict struct {
	complaints []string
	silent     time.Duration // how long a device may be, once the fleet has ended
}

func (v *verdict) complain(p promise, format string, args ...any) {
	v.complaints = append(v.complaints, string(p)+": "+fmt.Sprintf(format, args...))
}

// judge compares the ledgers, once everything has come to rest.
func (s *stage) judge() []string {
	v := &verdict{silent: s.silent}
	v.delivered(s.fleet.ledger, map[string]string{"ops": s.ops.ledger(), "canary": s.canary.ledger()})
	s.judgeStates(v)
	s.judgeFootprint(v)
	s.judgeSecrets(v)
	if code := s.b.stop(); code != 0 {
		v.complain(plain, "exit code %d after SIGTERM:\n%s", code, s.tail())
	}
	v.errors(append(s.logs, s.b.said()))
	v.stored(s.fleet.ledger, s.path("data/tocsin.db"))
	return v.complaints
}

// delivered judges P2 and P3 by what receivers accepted.
func (v *verdict) delivered(sent string, received map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(received)) {
		text, err := os.ReadFile(received[name])
		if err != nil {
			v.complain(delivered, "%v", err)
			continue
		}
		v.compare(delivered, name+" was told wrong", sent, text, sim.Lost, sim.Disorder, sim.Changed, sim.Doubled, sim.Unverified, sim.Unreadable)
		v.compare(unmoved, name+" was told of", sent, text, sim.Spurious)
	}
}

// compare has the simulator compare its ledger with events, and complains of some of
// what it finds. An alarm that the ledger knows nothing of is one that nothing called for.
func (v *verdict) compare(p promise, who, sent string, events []byte, kinds ...sim.Kind) {
	ledger, err := os.Open(sent)
	if err != nil {
		v.complain(p, "%v", err)
		return
	}
	defer ledger.Close()
	report, err := sim.Verify(ledger, bytes.NewReader(events))
	if err != nil {
		v.complain(p, "%v", err)
		return
	}
	n := 0
	for _, f := range report.Findings {
		if !slices.Contains(kinds, f.Kind) {
			continue
		}
		if n++; n <= 5 {
			v.complain(p, "%s: %s %s: %s", who, f.Kind, f.Alarm, f.Detail)
		}
	}
	if n > 5 {
		v.complain(p, "%s: and %d more", who, n-5)
	}
	if slices.Contains(kinds, sim.Spurious) {
		v.strangers(p, who, sent, events)
	}
	if slices.Contains(kinds, sim.Lost) && report.Expected == 0 {
		v.complain(p, "%s: nothing had to be told, so nothing was tried", who)
	}
}

// strangers complains of alarms that nothing calls for: silence that was none. When the
// fleet has ended, and whoever judges has to wait, its silence is real.
func (v *verdict) strangers(p promise, who, sent string, events []byte) {
	ended, err := lastEntry(sent)
	if err != nil {
		v.complain(p, "%v", err)
		return
	}
	for line := range bytes.Lines(events) {
		var e struct {
			At   time.Time
			Body struct {
				Type string
				Data struct {
					Because string
					Alarm   struct{ Key string }
				}
			}
		}
		if json.Unmarshal(line, &e) == nil && strings.HasPrefix(e.Body.Data.Alarm.Key, "quiet/") && !e.At.After(ended.Add(v.silent)) {
			v.complain(p, "%s %s of %s: %s", who, e.Body.Type, e.Body.Data.Alarm.Key, e.Body.Data.Because)
		}
	}
}

// lastEntry is when a ledger was last written to.
func lastEntry(ledger string) (at time.Time, err error) {
	text, err := os.ReadFile(ledger)
	if err != nil {
		return at, err
	}
	text = text[:max(0, bytes.LastIndexByte(text, '\n'))] // of lines that have an end
	var e sim.Entry
	if err := json.Unmarshal(text[bytes.LastIndexByte(text, '\n')+1:], &e); err != nil {
		return at, fmt.Errorf("%s: %w", ledger, err)
	}
	return e.At, nil
}

// stored judges P1: every event that an acknowledged message decided is in the store.
func (v *verdict) stored(sent, database string) {
	events, err := storedEvents(database)
	if err != nil {
		v.complain(durable, "%v", err)
		return
	}
	v.compare(durable, "the store lacks it", sent, events, sim.Lost)
}

// storedEvents reads the events of a store as a receiver would have written them down.
func storedEvents(database string) ([]byte, error) {
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(database)+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), "SELECT id, type, payload FROM event ORDER BY num")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", database, err)
	}
	defer rows.Close()
	var out bytes.Buffer
	for rows.Next() {
		var id, typ string
		var data []byte
		if err := rows.Scan(&id, &typ, &data); err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, `{"id":%q,"body":{"type":%q,"data":%s}}`+"\n", id, typ, data)
	}
	return out.Bytes(), rows.Err()
}

// judgeStates judges P3: alarms stand as the acknowledged readings have them stand.
func (s *stage) judgeStates(v *verdict) {
	var page struct {
		Alarms []struct{ Key, State string }
		Next   string
	}
	stands := map[string]string{}
	for cursor := ""; ; cursor = page.Next {
		page.Alarms, page.Next = nil, ""
		if err := s.b.answer("alarms?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			v.complain(unmoved, "%v", err)
			return
		}
		for _, a := range page.Alarms {
			stands[a.Key] = a.State
		}
		if page.Next == "" {
			break
		}
	}
	v.stands(fleetStates(s, s.fleet.ledger), stands)
}

// stands compares how alarms must stand with how they do.
func (v *verdict) stands(must map[string]bool, stands map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(must)) {
		state, there := stands[key]
		if fires := there && strings.HasPrefix(state, "firing"); fires != must[key] {
			v.complain(unmoved, "%s fires: %t (%q), and by its readings: %t", key, fires, state, must[key])
		}
	}
}

// fleetStates is which alarms fire by what was acknowledged. Devices whose last
// message may or may not have been heard are left out.
func fleetStates(t testing.TB, ledger string) map[string]bool {
	fires, waiting := map[string]bool{}, map[string]map[string]bool{}
	id := func(e *sim.Entry) string { return fmt.Sprint(e.Boot, e.Seq, e.Copy) }
	entries(t, ledger, func(e *sim.Entry) {
		if waiting[e.Device] == nil {
			waiting[e.Device] = map[string]bool{}
		}
		switch e.Line {
		case "sent":
			waiting[e.Device][id(e)] = true
			for _, c := range e.Expected {
				fires[c.Rule+"/"+e.Device] = c.Type == sim.Fired
			}
		case "acked":
			delete(waiting[e.Device], id(e))
		}
	})
	maps.DeleteFunc(fires, func(key string, _ bool) bool {
		_, device, _ := strings.Cut(key, "/")
		return len(waiting[device]) > 0
	})
	return fires
}

// What a bridge may hold: it is to run on small machines.
const (
	mostMemory = 200 // MiB, of which under faults; at rest it has some 30
	slackRest  = 40  // goroutines and files more than before the fault
)

// judgeFootprint judges P6, when there was time to come to rest.
func (s *stage) judgeFootprint(v *verdict) {
	var now footprint
	var err error
	within(deadline, func() bool {
		now, err = s.b.footprint()
		return err == nil && now.fits(s.before)
	})
	v.footprint(now, s.before, err)
}

// fits reports whether as much is held as before the fault, and never too much.
func (f footprint) fits(before footprint) bool {
	return f.rss <= mostMemory && f.goroutines <= before.goroutines+slackRest && f.files <= before.files+slackRest
}

func (v *verdict) footprint(now, before footprint, err error) {
	if err != nil || !now.fits(before) {
		v.complain(bounded, "%+v (%v), and before it was %+v", now, err, before)
	}
}

// judgeSecrets judges P7 by everything that can be read.
func (s *stage) judgeSecrets(v *verdict) {
	v.secrets("the log", []byte(strings.Join(append(s.logs, s.b.said()), "")), s.rest)
	for _, path := range []string{
		"/metrics", "/readyz", "/api/v1/endpoints", "/api/v1/endpoints/ops", "/api/v1/deliveries?limit=200", "/api/v1/alarms", "/api/v1/devices",
		"/api/v1/rules", "/api/v1/sources", "/api/v1/rejects", "/api/v1/audit", "/api/v1/tokens", "/api/v1/me", "/debug/pprof/goroutine?debug=2",
	} {
		_, text := s.b.get(path)
		v.secrets(path, []byte(text), s.rest)
	}
	for name, r := range map[string]*receiver{"ops": s.ops, "canary": s.canary} {
		text, err := os.ReadFile(r.path)
		if err != nil {
			v.complain(discreet, "%v", err)
		}
		v.secrets("what "+name+" was told", text, s.rest)
	}
	err := filepath.WalkDir(s.path("data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may just have gone
		}
		text, err := os.ReadFile(path)
		if err == nil {
			v.secrets(path, text, s.rest)
		}
		return nil
	})
	if err != nil {
		v.complain(discreet, "%v", err)
	}
}

// secrets complains of those that a text shows.
func (v *verdict) secrets(where string, text []byte, more []string) {
	for _, secret := range append([]string{token, password, inURL, inHeader}, more...) {
		for _, form := range disguises(secret) {
			if bytes.Contains(text, []byte(form)) {
				v.complain(discreet, "%s shows %.12s…", where, secret)
				break
			}
		}
	}
}

// disguises are the forms in which a secret may be written down: as it is, in hex,
// quoted, and in base64, also in the middle of something.
func disguises(secret string) []string {
	quoted := strconv.Quote(secret)
	forms := []string{secret, hex.EncodeToString([]byte(secret)), quoted[1 : len(quoted)-1], url.QueryEscape(secret)}
	for before := range 3 {
		// Three bytes are four letters; those at the ends hang on the neighbours.
		whole := secret[min((3-before)%3, len(secret)):]
		whole = whole[:len(whole)/3*3]
		if len(whole) < 6 {
			continue // it would be found in anything
		}
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			forms = append(forms, e.EncodeToString([]byte(whole)))
		}
	}
	return forms
}

// crashed is what a program says that did not mean to end.
var crashed = regexp.MustCompile(`(?m)^(panic:|fatal error:|goroutine \d+ \[|WARNING: DATA RACE|runtime: ).*`)

// errors judges P4 by what was written on standard error.
func (v *verdict) errors(logs []string) {
	for _, text := range logs {
		if found := crashed.FindString(text); found != "" {
			v.complain(plain, "the log has a stack: %s", found)
		}
	}
}

// An utterance is what a case must tell operators while its fault lasts.
type utterance struct {
	ready  string   // a part of what /readyz says instead of "ready"
	log    string   // a part of the log
	metric string   // a metric that is not 0, with labels after it
	labels []string // in the form name="value"
}

// hears judges P9: it waits for what must be told while the fault lasts.
func (s *stage) hears(u utterance) {
	s.Helper()
	var status int
	var text string
	if !within(deadline, func() bool {
		status, text = s.b.get("/readyz")
		return u.isIn(status, text, s.b.said(), s.b.metric)
	}) {
		s.Errorf("%s: nothing of %q; /readyz says %d %q\n%s", outspoken, cmp.Or(u.ready, u.log, u.metric), status, text, s.tail())
	}
}

// isIn reports whether all of it is told.
func (u utterance) isIn(status int, readyz, log string, metric func(string, ...string) float64) bool {
	return (u.ready == "" || status == http.StatusServiceUnavailable && strings.Contains(readyz, u.ready)) &&
		(u.log == "" || strings.Contains(log, u.log)) &&
		(u.metric == "" || metric(u.metric, u.labels...) > 0)
}

// goesOn judges P5: the canary is told of things while the fault lasts.
func (s *stage) goesOn() {
	s.Helper()
	if n, enough := moves(s.canary.accepted); !enough {
		s.Errorf("%s: the other endpoint was told of %d events in %v, while a fault is none of its business\n%s", unharmed, n, deadline, s.tail())
	}
}

// moves waits until so much more is accepted that it cannot be a remainder.
func moves(accepted func() int) (more int, enough bool) {
	had := accepted()
	enough = within(deadline, func() bool { more = accepted() - had; return more >= 40 })
	return more, enough
}

// heals judges P8: the bridge is ready again, though nobody has done anything.
func (s *stage) heals() {
	s.Helper()
	if text, ready := becomesReady(func() (int, string) { return s.b.get("/readyz") }); !ready {
		s.Fatalf("%s: not ready %v after the fault has ended: %s\n%s", healed, deadline, text, s.tail())
	}
}

// becomesReady waits for that, and says what was answered last.
func becomesReady(readyz func() (int, string)) (text string, ready bool) {
	ready = within(deadline, func() bool {
		status, said := readyz()
		text = said
		return status == http.StatusOK
	})
	return text, ready
}

// fails judges P4 of a start that has to fail.
func (s *stage) fails(code int, fact string, wrapper ...string) {
	s.Helper()
	s.start(wrapper...)
	if got, said := s.b.ended(), s.b.said(); got != code || !isPlain(said, fact) {
		s.Errorf("%s: exit code %d, want %d and a line with %q and a remedy:\n%s", plain, got, code, fact, said)
	}
}

// isPlain reports whether a start that failed said why, and in its last line what to
// do about it: in parentheses, or below the line of the configuration that is wrong.
func isPlain(said, fact string) bool {
	said = strings.TrimSpace(said)
	last := said[strings.LastIndexByte(said, '\n')+1:]
	remedy := strings.HasSuffix(last, ")") || strings.HasPrefix(last, "   ")
	return strings.Contains(said, fact) && remedy && !crashed.MatchString(said)
}
