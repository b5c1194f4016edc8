package sim

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Replay adds values that were recorded, each until the next, from the first
// again after the last.
type Replay struct {
	Values []float64 `toml:"values"` // one each Every
	File   string    `toml:"file"`   // or: a CSV with a header, or JSON lines, beside the profile
	Column string    `toml:"column"` // the value's column or key; default: value
	Time   string    `toml:"time"`   // that of the time, in seconds or RFC 3339; empty: one each Every
	Every  Duration  `toml:"every"`
	Once   bool      `toml:"once"` // the last value stays

	points []point
}

// A point is a value and when it begins to hold.
type point struct {
	from  time.Duration
	value float64
}

// Limits of a recording.
const (
	maxRecording = 32 << 20 // bytes
	maxPoints    = 1 << 20
)

// at is the value that was recorded for a moment.
func (r *Replay) at(t time.Duration) float64 {
	last := r.points[len(r.points)-1].from
	if length := last + r.step(); !r.Once && length > 0 {
		t %= length
	}
	i, found := slices.BinarySearchFunc(r.points, t, func(p point, t time.Duration) int { return int(max(-1, min(1, p.from-t))) })
	if !found {
		i--
	}
	return r.points[max(0, i)].value
}

// step is how long the last value holds: Every, or as long as the one before it.
func (r *Replay) step() time.Duration {
	if n := len(r.points); r.Every == 0 && n > 1 {
		return r.points[n-1].from - r.points[n-2].from
	}
	return time.Duration(r.Every)
}

// load makes points of what was recorded; dir is where the profile lies.
func (r *Replay) load(dir string) error {
	switch {
	case (len(r.Values) == 0) == (r.File == ""):
		return errors.New("needs either values or a file (write one of them)")
	case r.Every == 0 && r.Time == "":
		return errors.New(`does not say when each value holds (add every = "10s", or the file's column of times as time)`)
	case r.Time != "" && r.Every != 0:
		return errors.New("time and every exclude each other (remove one)")
	case r.File == "" && r.Time != "":
		return errors.New("time is a column of a file (write every)")
	}
	for i, v := range r.Values {
		if err := r.add("value "+strconv.Itoa(i+1), "", v); err != nil {
			return err
		}
	}
	if r.File == "" {
		return nil
	}
	if !filepath.IsLocal(r.File) {
		return fmt.Errorf("file %q does not lie beside the profile or below (put it there)", r.File)
	}
	text, err := read(filepath.Join(dir, r.File))
	if err != nil {
		return fmt.Errorf("file %q: %w (put it beside the profile)", r.File, err)
	}
	if r.Column == "" {
		r.Column = "value"
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		err = r.lines(text)
	} else {
		err = r.table(text)
	}
	if err == nil && len(r.points) == 0 {
		err = errors.New("holds no values (record some)")
	}
	if err != nil {
		return fmt.Errorf("file %q: %w", r.File, err)
	}
	r.rebase()
	return nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the user's profile names the file, within its own folder
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close() // #nosec G307 -- only read
	text, err := io.ReadAll(io.LimitReader(f, maxRecording+1))
	if err == nil && len(text) > maxRecording {
		err = fmt.Errorf("has more than %d MiB (shorten it)", maxRecording>>20)
	}
	return text, err
}

// table reads a CSV; an empty cell is a value that was not recorded.
func (r *Replay) table(text []byte) error {
	in := csv.NewReader(bytes.NewReader(text))
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("%w (write a CSV with a header, or JSON lines)", err)
	}
	value, when := slices.Index(header, r.Column), slices.Index(header, r.Time)
	if value < 0 || r.Time != "" && when < 0 {
		return fmt.Errorf("has the columns %s, not %q (name one as column, and one as time)", strings.Join(header, ", "), strings.TrimSpace(r.Column+" "+r.Time))
	}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w (mend the CSV)", err)
		}
		if row[value] == "" {
			continue
		}
		line, _ := in.FieldPos(value)
		v, err := strconv.ParseFloat(row[value], 64)
		if err != nil {
			return fmt.Errorf("line %d: %q is not a number (mend it, or leave it empty)", line, row[value])
		}
		at := ""
		if r.Time != "" {
			at = row[when]
		}
		if err := r.add("line "+strconv.Itoa(line), at, v); err != nil {
			return err
		}
	}
}

// lines reads JSON lines; one without the key is a value that was not recorded.
func (r *Replay) lines(text []byte) error {
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, maxRecording)
	for n := 1; in.Scan(); n++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var row map[string]any
		if err := json.Unmarshal(in.Bytes(), &row); err != nil {
			return fmt.Errorf("line %d: %w (write one object a line)", n, err)
		}
		v, ok := row[r.Column].(float64)
		if !ok && row[r.Column] == nil {
			continue
		} else if !ok {
			return fmt.Errorf("line %d: %q is not a number (mend it, or leave it out)", n, r.Column)
		}
		at := ""
		if r.Time != "" {
			at = fmt.Sprint(row[r.Time])
			if seconds, ok := row[r.Time].(float64); ok {
				at = strconv.FormatFloat(seconds, 'f', -1, 64)
			}
		}
		if err := r.add("line "+strconv.Itoa(n), at, v); err != nil {
			return err
		}
	}
	return in.Err()
}

// add takes the next value; times count from that of the first.
func (r *Replay) add(place, at string, v float64) error {
	if !(v >= -1e12 && v <= 1e12) {
		return fmt.Errorf("%s: %v is not a usable number (write one within ±1e12)", place, v)
	}
	if len(r.points) == maxPoints {
		return fmt.Errorf("%s: more than %d values (shorten it)", place, maxPoints)
	}
	from := time.Duration(len(r.points)) * time.Duration(r.Every)
	if r.Time != "" {
		var err error
		if from, err = instant(at); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		if n := len(r.points); n > 0 && from <= r.points[n-1].from {
			return fmt.Errorf("%s: is not after the one before it (sort by time)", place)
		}
	}
	r.points = append(r.points, point{from, v})
	return nil
}

// instant is a time as a duration since 1970.
func instant(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e10 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return 0, fmt.Errorf("%q is not a time (write seconds, or RFC 3339 as 2026-11-22T09:00:00Z)", text)
	}
	return at.Sub(time.Unix(0, 0)), nil
}

// rebase makes the first value hold from the start.
func (r *Replay) rebase() {
	first := r.points[0].from
	for i := range r.points {
		r.points[i].from -= first
	}
}
