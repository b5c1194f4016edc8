//go:build linux

package torture

import (
	"database/sql"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// flipScenes flip bits of files that nobody has open.
func flipScenes() []scene {
	return []scene{
		{row: "F4", name: "flipped bits in the database", strike: flips("tocsin.db", true)},
		{row: "F4", name: "flipped bits in the log", strike: flips("tocsin.db-wal", false)},
		{row: "F4", name: "flipped bits in the history", strike: flips("history/*", true)},
	}
}

// flips flips one bit, starts the bridge on that, and gives it the folder as it was,
// again and again. It has to notice or to say all that it is owed to say as if nothing
// were wrong. No device reaches it then: what it acknowledged would be taken back.
func flips(pattern string, noLog bool) func(*stage) {
	return func(s *stage) {
		most := 5
		if long() {
			most = 200
		}
		s.ops.behave(hangs) // so that it is owed something, and has not failed yet
		s.goOn(500 * time.Millisecond)
		s.eventually("there is a file to be damaged", func() bool { return len(s.filesLike(pattern)) > 0 })
		s.b.kill()
		s.ops.behave(nil)
		s.write("alone.toml", strings.Replace(s.configuration(), s.mqtt, freeAddress(s), 1))
		kept := s.path("kept")
		s.copyFolder(s.path("data"), kept)
		before := s.takeLogIn(s.path("data"))
		if noLog {
			s.copyFolder(s.path("data"), kept)
		}
		owed, told := idsOf(string(before)), idsOf(s.read("ops.jsonl"))
		maps.DeleteFunc(owed, func(id string, _ bool) bool { return told[id] })
		if len(owed) == 0 {
			s.Fatal("nothing is owed, so nothing would be tried")
		}
		refused := 0
		for range most {
			s.copyFolder(kept, s.path("data"))
			where := s.flip(pattern)
			if s.standsFlip(where, before, owed) {
				refused++
			}
		}
		s.copyFolder(kept, s.path("data"))
		s.Logf("%d of %d were noticed; %d events were owed", refused, most, len(owed))
		s.startReady()
	}
}

// standsFlip judges a bridge that starts on a flipped bit; it reports whether it was
// noticed.
func (s *stage) standsFlip(where place, before []byte, owed map[string]bool) (noticed bool) {
	s.Helper()
	had := len(s.read("ops.jsonl"))
	s.logs = append(s.logs, s.b.said())
	s.b = startBridge(s, s.path("alone.toml"), s.scene.env)
	select {
	case <-s.b.ready:
		within(10*time.Second, func() bool { return !s.b.alive() || s.lacking(owed, had) == 0 && s.owed() == 0 })
	case <-s.b.exited:
	case <-time.After(deadline):
		s.Fatalf("%v: neither ready nor ended:\n%s", where, s.tail())
	}
	if !s.b.alive() {
		if code := s.b.cmd.ProcessState.ExitCode(); code != 1 || !isPlain(s.b.said(), "") {
			s.Errorf("%s: %v: exit code %d, want 1 and a line with a remedy:\n%s", plain, where, code, s.tail())
		}
		return true
	}
	v := &verdict{}
	s.judgeStates(v)
	if lost := s.lacking(owed, had); lost > 0 {
		v.complain(delivered, "%d of %d events that were owed were not told", lost, len(owed))
	}
	noticed = s.judgeRows(v, before)
	if !s.b.alive() || s.b.stop() != 0 { // what had to be read for that was damaged
		return true
	}
	for _, complaint := range v.complaints {
		s.Errorf("%v: %s\n%s", where, complaint, s.tail())
	}
	return noticed || strings.Contains(s.b.said(), "damaged")
}

// judgeRows judges P1 of events that are stored otherwise than they were: whoever asks
// for one is told so, or what it was. It reports whether somebody was told so.
func (s *stage) judgeRows(v *verdict, before []byte) (noticed bool) {
	s.Helper()
	after, err := storedEvents(s.path("data/tocsin.db"))
	if err != nil {
		v.complain(durable, "%v", err)
		return false
	}
	same := map[string]bool{}
	for line := range strings.Lines(string(after)) {
		same[line] = true
	}
	for line := range strings.Lines(string(before)) {
		if same[line] {
			continue
		}
		var was struct {
			ID   string
			Body struct{ Data json.RawMessage }
		}
		if err := json.Unmarshal([]byte(line), &was); err != nil {
			s.Fatal(err)
		}
		var shown struct{ Data json.RawMessage }
		err := s.b.answer("deliveries/"+was.ID+"@canary", &shown)
		noticed = noticed || err != nil
		if err == nil && !sameJSON(shown.Data, was.Body.Data) {
			v.complain(durable, "%s is shown as %s, and was %s", was.ID, shown.Data, was.Body.Data)
		}
	}
	return noticed
}

// sameJSON reports whether two texts say the same.
func sameJSON(a, b []byte) bool {
	var one, other any
	return json.Unmarshal(a, &one) == nil && json.Unmarshal(b, &other) == nil && reflect.DeepEqual(one, other)
}

// idsOf are those of events, or of lines of a receiver's ledger.
func idsOf(lines string) map[string]bool {
	ids := map[string]bool{}
	for line := range strings.Lines(lines) {
		var e struct{ ID string }
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
			ids[e.ID] = true
		}
	}
	return ids
}

// lacking counts what ops was not told, of some events, since its ledger was so long.
func (s *stage) lacking(of map[string]bool, from int) (n int) {
	s.Helper()
	told := idsOf(s.read("ops.jsonl")[from:])
	for id := range of {
		if !told[id] {
			n++
		}
	}
	return n
}

// A place is a bit of a file.
type place struct {
	file string
	byte int
	bit  int
}

// filesLike are the files of a pattern that hold something.
func (s *stage) filesLike(pattern string) []string {
	s.Helper()
	files, err := filepath.Glob(s.path("data/" + pattern))
	if err != nil {
		s.Fatal(err)
	}
	return slices.DeleteFunc(files, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.Size() == 0
	})
}

// flip flips one bit of one of these files.
func (s *stage) flip(pattern string) (where place) {
	s.Helper()
	files := s.filesLike(pattern)
	path := files[s.draw.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		s.Fatalf("%s has %d bytes, %v", path, len(text), err)
	}
	where = place{filepath.Base(path), s.draw.IntN(len(text)), s.draw.IntN(8)}
	if pattern == "tocsin.db-wal" {
		ends := commits(text) // damaged, the last transaction is like one that was torn
		where.byte = s.draw.IntN(ends[len(ends)-2])
	}
	text[where.byte] ^= 1 << where.bit
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return where
}

// takeLogIn makes the log of a store part of its file, and returns the events in it.
func (s *stage) takeLogIn(folder string) (events []byte) {
	s.Helper()
	path := filepath.Join(folder, "tocsin.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := db.ExecContext(s.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		s.Fatal(err)
	}
	if err := db.Close(); err != nil {
		s.Fatal(err)
	}
	if events, err = storedEvents(path); err != nil {
		s.Fatal(err)
	}
	return events
}

// copyFolder makes one folder what another is.
func (s *stage) copyFolder(from, to string) {
	s.Helper()
	s.run("rm", "-rf", to)
	s.run("cp", "-a", from, to) // with times: one says when the bridge was last alive
}
