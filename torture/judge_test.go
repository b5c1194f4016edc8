//go:build linux

package torture

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	product "tocsin/bridge"
	"tocsin/bridge/store"
	sim "tocsin/firmware-sim"
	engine "tocsin/rules"
)

// Judges that never complain would make every scene pass. Here each is given what it
// has to complain of, and by which promise.

var dawn = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

// sent is a ledger of one freezer that gets too warm, twice, and is heard each time.
func sent() []sim.Entry {
	limit, clearing := -15.0, -17.0
	lines := []sim.Entry{{Line: "run", Expect: map[string]sim.Expect{"warm": {Metric: "temperature", Above: &limit, Clear: &clearing}}}}
	for n := range uint64(4) {
		at := dawn.Add(time.Duration(n) * time.Minute) // #nosec G115 -- up to 3
		crossing := sim.Crossing{Rule: "warm", Type: sim.Fired, At: at, Started: at}
		if n%2 == 1 {
			crossing.Type, crossing.Started = sim.Resolved, at.Add(-time.Minute)
		}
		m := sim.Entry{Device: "freezer-01", Boot: "b", Seq: n + 1}
		ack := m
		m.Line, m.Expected, ack.Line = "sent", []sim.Crossing{crossing}, "acked"
		lines = append(lines, m, ack)
	}
	return lines
}

// An event is what a receiver was told, as its ledger has it.
type event struct {
	id, kind, key, episode string
	seq                    int
	started                time.Time
	because                string
	unverified             bool
}

// heard are the four events that the ledger calls for.
func heard() []event {
	second := dawn.Add(2 * time.Minute)
	return []event{
		{id: "e1", kind: sim.Fired, key: "warm/freezer-01", episode: "ep1", seq: 1, started: dawn},
		{id: "e2", kind: sim.Resolved, key: "warm/freezer-01", episode: "ep1", seq: 2, started: dawn},
		{id: "e3", kind: sim.Fired, key: "warm/freezer-01", episode: "ep2", seq: 1, started: second},
		{id: "e4", kind: sim.Resolved, key: "warm/freezer-01", episode: "ep2", seq: 2, started: second},
	}
}

func jsonLines[T any](t *testing.T, list []T) string {
	t.Helper()
	var text strings.Builder
	for _, v := range list {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	return text.String()
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	return write(t, t.TempDir(), name, text)
}

// tolds are events as a receiver writes them down.
func tolds(t *testing.T, events []event) string {
	t.Helper()
	var lines []told
	for _, e := range events {
		body, err := json.Marshal(map[string]any{"type": e.kind, "data": map[string]any{
			"because": e.because, "alarm": map[string]any{"key": e.key, "episode": e.episode, "seq": e.seq, "started_at": e.started},
		}})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, told{ID: e.id, Verified: !e.unverified, Body: body})
	}
	return jsonLines(t, lines)
}

// complains fails the test unless exactly this promise was complained of, in these words.
func (v *verdict) complains(t *testing.T, of promise, words ...string) {
	t.Helper()
	text := strings.Join(v.complaints, "\n")
	if of == "" {
		if text != "" {
			t.Errorf("complains of what is well:\n%s", text)
		}
		return
	}
	if len(v.complaints) == 0 || slices.ContainsFunc(v.complaints, func(c string) bool { return !strings.HasPrefix(c, string(of)+": ") }) {
		t.Errorf("want complaints of %q and of nothing else:\n%s", of, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no word of %q:\n%s", w, text)
		}
	}
}

func TestWhatReceiversWereToldIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		doctor func([]event) []event
		of     promise
		words  string
	}{
		"nothing is wrong":          {doctor: func(e []event) []event { return e }},
		"one is repeated":           {doctor: func(e []event) []event { return slices.Insert(e, 2, e[1]) }},
		"a lost event":              {func(e []event) []event { return slices.Delete(e, 2, 3) }, delivered, "lost warm/freezer-01"},
		"nothing arrived":           {func([]event) []event { return nil }, delivered, "lost"},
		"raise and resolve swapped": {func(e []event) []event { e[0], e[1] = e[1], e[0]; return e }, delivered, "out of order"},
		"episodes swapped":          {func(e []event) []event { return append(e[2:4:4], e[:2]...) }, delivered, "out of order"},
		"one is not verified":       {func(e []event) []event { e = append(e, e[3]); e[4].unverified = true; return e }, delivered, "unverified"},
		"two bodies under one id":   {func(e []event) []event { e = append(e, e[3]); e[4].because = "other"; return e }, delivered, "changed"},
		"one event under two ids":   {func(e []event) []event { e = append(e, e[3]); e[4].id = "e5"; return e }, delivered, "doubled"},
		"no body":                   {func(e []event) []event { return append(e, event{}) }, delivered, "unreadable"},
		"an alarm out of thin air": {func(e []event) []event {
			return append(e, event{id: "x", kind: sim.Fired, key: "warm/freezer-02", episode: "ep9", seq: 1, started: dawn})
		}, unmoved, "spurious"},
		"an episode that was none": {func(e []event) []event {
			return append(e, event{id: "x", kind: sim.Fired, key: "warm/freezer-01", episode: "ep9", seq: 1, started: dawn.Add(time.Hour)})
		}, unmoved, "spurious"},
		"silence that was none": {func(e []event) []event {
			return append(e, event{id: "x", kind: sim.Fired, key: "quiet/freezer-01", episode: "ep9", seq: 1, started: dawn, because: "nothing for 20s"})
		}, unmoved, "nothing for 20s"},
		"an event between is missed": {func(e []event) []event { e[1].seq = 3; return e }, delivered, "1 of the first 3 events"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verdict{}
			v.delivered(file(t, "fleet.jsonl", jsonLines(t, sent())), map[string]string{"ops": file(t, "ops.jsonl", tolds(t, c.doctor(heard())))})
			v.complains(t, c.of, c.words)
		})
	}
}

func TestASceneThatTriesNothingIsNoSuccess(t *testing.T) {
	v := &verdict{}
	v.delivered(file(t, "fleet.jsonl", jsonLines(t, sent()[:1])), map[string]string{"ops": file(t, "ops.jsonl", "")})
	v.complains(t, delivered, "nothing was tried")
}

func TestALedgerThatCannotBeReadIsNoSuccess(t *testing.T) {
	v := &verdict{}
	v.delivered(filepath.Join(t.TempDir(), "none"), map[string]string{"ops": file(t, "ops.jsonl", "")})
	v.stored(file(t, "fleet.jsonl", jsonLines(t, sent())), filepath.Join(t.TempDir(), "none"))
	if len(v.complaints) < 3 {
		t.Errorf("complaints: %q", v.complaints)
	}
}

// The store is made by the program's own code: a judge that reads another file, or the
// wrong column, would miss what is there.
func TestWhatIsStoredIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		events []event
		of     promise
	}{
		"all of it":   {heard(), ""},
		"one is lost": {heard()[:3], durable},
		"nothing":     {nil, durable},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			db, err := store.Open(t.Context(), store.Options{Path: dir})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.events {
				err := db.Commit(t.Context(), product.Batch{Transitions: []engine.Transition{{
					State: engine.State{Key: e.key, Rule: "warm", Device: "freezer-01", Episode: e.episode},
					Events: []engine.Event{{ID: e.id, Type: engine.Type(e.kind), At: dawn, Endpoints: []string{"ops"},
						Alarm: engine.EventAlarm{Key: e.key, Episode: e.episode, Seq: e.seq, StartedAt: e.started}}},
				}}})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			v := &verdict{}
			v.stored(file(t, "fleet.jsonl", jsonLines(t, sent())), filepath.Join(dir, "tocsin.db"))
			v.complains(t, c.of)
		})
	}
}

func TestHowAlarmsStandIsJudged(t *testing.T) {
	ledger := file(t, "fleet.jsonl", jsonLines(t, sent()[:7])) // it is warm again, and was heard
	must := fleetStates(t, ledger)
	if want := map[string]bool{"warm/freezer-01": true}; !maps.Equal(must, want) {
		t.Fatalf("by its readings: %v, want %v", must, want)
	}
	if unsure := fleetStates(t, file(t, "fleet.jsonl", jsonLines(t, sent()[:6]))); len(unsure) != 0 {
		t.Errorf("nobody can know how it stands while a message is not acknowledged: %v", unsure)
	}
	for name, c := range map[string]struct {
		stands map[string]string
		of     promise
	}{
		"it fires":           {map[string]string{"warm/freezer-01": "firing"}, ""},
		"it is acknowledged": {map[string]string{"warm/freezer-01": "firing.acked"}, ""},
		"it is at rest":      {map[string]string{"warm/freezer-01": "inactive"}, unmoved},
		"it is forgotten":    {nil, unmoved},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verdict{}
			v.stands(must, c.stands)
			v.complains(t, c.of)
		})
	}
	t.Run("one that should not fires", func(t *testing.T) {
		v := &verdict{}
		v.stands(map[string]bool{"warm/freezer-01": false}, map[string]string{"warm/freezer-01": "firing"})
		v.complains(t, unmoved)
	})
}

func TestStacksAreSeenInLogs(t *testing.T) {
	for _, text := range []string{
		"time=… level=INFO msg=x\npanic: runtime error: index out of range\n\ngoroutine 1 [running]:\n",
		"fatal error: concurrent map writes\n", "goroutine 12 [chan receive]:\n", "WARNING: DATA RACE\n", "runtime: out of memory\n",
	} {
		v := &verdict{}
		v.errors([]string{"time=… level=INFO msg=ready\n", text})
		v.complains(t, plain)
	}
	v := &verdict{}
	v.errors([]string{"time=… level=WARN msg=\"the endpoint answers 500 (see panic: in its log)\"\n"})
	v.complains(t, "")
}

func TestAFailedStartSaysWhyAndWhatToDo(t *testing.T) {
	for said, want := range map[string]bool{
		"tocsin: data/lock: is held by process 17 (stop it, or give this one a folder of its own)\n": true,
		"tocsin: data/lock: is held by process 17\n":                                                 false,
		"tocsin: something is wrong (try again)\n":                                                   false,
		"": false,
		"panic: is held by process 17\ngoroutine 1 [running]:\nmain.main()\n": false,
	} {
		if got := isPlain(said, "held by process"); got != want {
			t.Errorf("%q is plain: %t", said, got)
		}
	}
}

func TestOthersThatWaitAreSeen(t *testing.T) {
	for _, each := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			n := 500
			if more, enough := moves(func() int { n += each; return n }); enough != (each > 0) {
				t.Errorf("%d more are enough: %t", more, enough)
			}
		})
	}
}

func TestWhatAProcessHoldsIsJudged(t *testing.T) {
	before := footprint{rss: 40, goroutines: 60, files: 30}
	for name, c := range map[string]struct {
		now footprint
		err error
		of  promise
	}{
		"as before":         {now: before},
		"a little more":     {now: footprint{rss: 90, goroutines: 70, files: 35}},
		"too much memory":   {footprint{rss: mostMemory + 1, goroutines: 60, files: 30}, nil, bounded},
		"goroutines stay":   {footprint{rss: 40, goroutines: 60 + slackRest + 1, files: 30}, nil, bounded},
		"files stay open":   {footprint{rss: 40, goroutines: 60, files: 30 + slackRest + 1}, nil, bounded},
		"nobody can say":    {footprint{}, errors.New("no such process"), bounded},
		"it holds far less": {now: footprint{rss: 20, goroutines: 20, files: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verdict{}
			v.footprint(c.now, before, c.err)
			v.complains(t, c.of)
		})
	}
}

func TestSecretsAreSeenInEveryForm(t *testing.T) {
	const other = "s3cr3t \"of\" ours?/+%"
	for _, text := range []string{
		token, "Authorization: Bearer " + token, "https://user:" + password + "@host/", inURL, inHeader, other,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("bridge:"+password)),
		"Basic " + base64.StdEncoding.EncodeToString([]byte("a:"+password+":b")),
		"Basic " + base64.URLEncoding.EncodeToString([]byte("ab:"+password+"?")),
		base64.RawURLEncoding.EncodeToString([]byte(other)),
		hex.EncodeToString([]byte(inHeader)),
		`{"key":"s3cr3t \"of\" ours?/+%"}`, "/?key=s3cr3t+%22of%22+ours%3F%2F%2B%25",
	} {
		v := &verdict{}
		v.secrets("the log", []byte("before "+text+" after"), []string{other})
		v.complains(t, discreet, "the log")
		if strings.Contains(strings.Join(v.complaints, ""), text) {
			t.Errorf("the complaint itself shows %s", text)
		}
	}
	v := &verdict{}
	v.secrets("the log", []byte("key=<secret> CANARY-"), nil)
	v.complains(t, "")
}

func TestReadinessThatNeverComesIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if text, ready := becomesReady(func() (int, string) { return 503, "the store is full" }); ready || text != "the store is full" {
			t.Errorf("ready: %t, %q", ready, text)
		}
		since := time.Now()
		if _, ready := becomesReady(func() (int, string) {
			if time.Since(since) < deadline/2 {
				return 503, "not yet"
			}
			return 200, "ready"
		}); !ready {
			t.Error("one that heals alone is taken for one that does not")
		}
	})
}

func TestSilentFaultsAreSeen(t *testing.T) {
	u := utterance{ready: "the store is full", log: "no space", metric: "tocsin_full", labels: []string{`store="data"`}}
	full := func(string, ...string) float64 { return 1 }
	none := func(string, ...string) float64 { return 0 }
	if !u.isIn(503, "not ready: the store is full", "level=ERROR msg=\"no space\"", full) {
		t.Error("all of it is told, and not seen")
	}
	for name, heard := range map[string]bool{
		"ready all the time": u.isIn(200, "the store is full", "no space", full),
		"another reason":     u.isIn(503, "starting", "no space", full),
		"no log":             u.isIn(503, "the store is full", "", full),
		"no metric":          u.isIn(503, "the store is full", "no space", none),
	} {
		if heard {
			t.Errorf("%s: is taken for told", name)
		}
	}
}

func TestAMetricIsSummedOverWhatFits(t *testing.T) {
	text := "# HELP tocsin_dead x\ntocsin_dead{endpoint=\"ops\",why=\"gone\"} 2\ntocsin_dead{endpoint=\"canary\",why=\"gone\"} 3\ntocsin_deadline 7\ntocsin_up 1\n"
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{{"tocsin_dead", nil, 5}, {"tocsin_dead", []string{`endpoint="ops"`}, 2}, {"tocsin_up", nil, 1}, {"tocsin", nil, 0}, {"tocsin_dead", []string{`endpoint="none"`}, 0}} {
		if got := sample(text, c.name, c.labels); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}
