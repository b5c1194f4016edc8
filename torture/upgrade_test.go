//go:build linux

package torture

import (
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// upgradeScenes begin with a folder of another version. Each testdata/schema*.db.gz
// was written by the last program that had this schema, stopped as asked: three
// alarms, of which two fire, and two endpoints that were not there, each owed the six
// events. What the very first schema held is bridge/store's to try.
func upgradeScenes() []scene {
	var list []scene
	for version := 2; version <= 4; version++ {
		list = append(list, scene{row: "F20", name: fmt.Sprintf("a store of schema %d", version), before: func(s *stage) { s.inherit(version) }, strike: func(s *stage) { s.inherited(version) }})
	}
	return append(list, scene{row: "F20", name: "a store of a newer version", strike: newerStore})
}

const oldRule = `[rule.old]
devices = "old-*"
metric  = "temperature"
above   = "-15 °C"
clear   = "-17 °C"
`

// inherit puts an old store into the folder. Its devices are not there any more, and
// their silence is nobody's business here; nor is how old the fixture is.
func (s *stage) inherit(version int) {
	s.Helper()
	file, err := os.Open(filepath.Join("testdata", fmt.Sprintf("schema%d.db.gz", version)))
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close()
	plainFile, err := gzip.NewReader(file)
	if err != nil {
		s.Fatal(err)
	}
	store, err := io.ReadAll(plainFile)
	if err != nil {
		s.Fatal(err)
	}
	s.write("data/tocsin.db", string(store))
	s.write("was.db", string(store))
	s.write("rules/rules.toml", strings.Replace(rules, "[rule.quiet]\n", "[rule.quiet]\nexcept = \"old-*\"\n", 1)+oldRule)
	s.write("tocsin.toml", strings.ReplaceAll(s.configuration(), "retry  = { ", `retry  = { give_up_after = "876000h", `))
}

// inherited judges what has become of an old store: what it owed is told, each event
// once as an id and in order, what fired goes on firing, the next start finds it as new
// as any other, and what it was lies beside it.
func (s *stage) inherited(version int) {
	s.Helper()
	want := map[string][]string{
		"old/old-01": {"alarm.fired"},
		"old/old-02": {"alarm.fired", "alarm.resolved", "alarm.fired", "alarm.resolved"},
		"old/old-03": {"alarm.fired"},
	}
	for round := range 2 {
		for name, r := range map[string]*receiver{"ops": s.ops, "canary": s.canary} {
			s.eventually(name+" is told what the old version owed", func() bool { return len(toldOf(r.path, "old/")) >= 6 })
			got := map[string][]string{}
			for _, e := range toldOf(r.path, "old/") {
				got[e.alarm] = append(got[e.alarm], e.kind)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				s.Errorf("%s: %s was told %v of what the old version owed, want %v", delivered, name, got, want)
			}
		}
		for device, state := range map[string]string{"old-01": "firing", "old-02": "resolved", "old-03": "firing"} {
			var a struct{ State string }
			if err := s.b.answer("alarms/old%2F"+device, &a); err != nil || !strings.HasPrefix(a.State, "firing") != (state != "firing") {
				s.Errorf("%s: old/%s is %q (%v), and was %s", unmoved, device, a.State, err, state)
			}
		}
		if round == 0 {
			if code := s.b.stop(); code != 0 {
				s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
			}
			s.startReady()
		}
	}
	s.copied(version)
}

// copied judges the copy that was made of an old store before it was changed.
func (s *stage) copied(version int) {
	s.Helper()
	copies, err := filepath.Glob(s.path("data/tocsin.db.schema*"))
	if want := s.path(fmt.Sprintf("data/tocsin.db.schema%d", version)); err != nil || len(copies) != 1 || copies[0] != want {
		s.Errorf("%s: of the store as it was there is %q (%v), want %s", durable, copies, err, want)
		return
	}
	s.run("cp", copies[0], s.path("copy.db")) // who looks into it leaves files beside it
	var events [2]string
	for i, name := range []string{"was.db", "copy.db"} {
		all, err := storedEvents(s.path(name))
		if err != nil || len(all) == 0 {
			s.Errorf("%s: %s has %d bytes of events, %v", durable, name, len(all), err)
		}
		db, err := sql.Open("sqlite", "file:"+url.PathEscape(s.path(name))+"?mode=ro")
		if err != nil {
			s.Fatal(err)
		}
		var said string
		err = db.QueryRowContext(s.Context(), "SELECT user_version || (SELECT group_concat(sql) FROM sqlite_schema) || integrity_check FROM pragma_user_version, pragma_integrity_check").Scan(&said)
		if err := errors.Join(err, db.Close()); err != nil {
			s.Fatal(err)
		}
		events[i] = said + string(all)
	}
	if events[0] != events[1] {
		s.Errorf("%s: the copy is not the store as it was", durable)
	}
}

// A tale is an event as a receiver was told it, once for each id.
type tale struct{ alarm, kind string }

func toldOf(ledger, alarms string) (tales []tale) {
	text, err := os.ReadFile(ledger)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var e struct {
			ID   string
			Body struct {
				Type string
				Data struct{ Alarm struct{ Key string } }
			}
		}
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Body.Data.Alarm.Key, alarms) && !seen[e.ID] {
			seen[e.ID] = true
			tales = append(tales, tale{e.Body.Data.Alarm.Key, e.Body.Type})
		}
	}
	return tales
}

// newerStore is one that a later version has written: it is refused, and not touched.
func newerStore(s *stage) {
	if code := s.b.stop(); code != 0 {
		s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
	}
	known := s.setVersion(99)
	before := s.read("data/tocsin.db")
	s.fails(1, "was written by a newer tocsin")
	if s.read("data/tocsin.db") != before {
		s.Errorf("%s: the store of a newer version was written to", durable)
	}
	s.setVersion(known)
}

// setVersion has a store say that it is of another schema, and returns what it said.
func (s *stage) setVersion(to int) (was int) {
	s.Helper()
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(s.path("data/tocsin.db")))
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(s.Context(), "PRAGMA user_version").Scan(&was); err != nil {
		s.Fatal(err)
	}
	if _, err := db.ExecContext(s.Context(), fmt.Sprintf("PRAGMA user_version = %d", to)); err != nil {
		s.Fatal(err)
	}
	return was
}
