package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tocsin/bridge/history"
	"tocsin/rules"
)

// heardHour is heard DIR DEVICE METRIC VALUE…: it writes a history of one reading a minute until
// now, of which the values repeat for an hour.
func heardHour(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: heard DIR DEVICE METRIC VALUE…")
	}
	var values []float64
	for _, arg := range args[3:] {
		v, err := strconv.ParseFloat(arg, 64)
		ts.Check(err)
		values = append(values, v)
	}
	ts.Check(writeHistory(ts.MkAbs(args[0]), args[1], args[2], time.Now().Add(-time.Hour), values))
}

func writeHistory(dir, device, metric string, from time.Time, values []float64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%020d.history", 0)))
	if err != nil {
		return err
	}
	recorder, err := history.NewRecorder(file)
	if err != nil {
		return err
	}
	for i := range 60 {
		at := from.Add(time.Duration(i) * time.Minute)
		s := rules.Sample{Source: "plant", Device: device, Metric: metric, Kind: rules.Number, Num: values[i%len(values)], At: at, Received: at}
		if err := recorder.Record(rules.Input{Now: at, Sample: &s}); err != nil {
			return err
		}
	}
	if err := recorder.Flush(); err != nil {
		return err
	}
	return file.Close()
}

func TestReadingsOfMoreThanADayAgoAreNotLookedAt(t *testing.T) {
	dir, vars := t.TempDir(), map[string]string{"SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	writeFiles(t, dir, map[string]string{
		"rules.toml":  "[rule.warm]\nmetric = \"temprature\"\nabove = 0\n",
		"tocsin.toml": "rules = [\"rules.toml\"]\n[http]\nlisten = \"\"\n[broker.embedded]\nlisten = \"127.0.0.1:0\"\n[source.plant]\ntopic = \"plant/{device}\"\n[endpoint.ops]\nurl = \"https://alerts.example.com\"\nsecret = \"${SECRET}\"\n",
	})
	for age, want := range map[time.Duration]bool{2 * time.Hour: true, 26 * time.Hour: false} {
		if err := writeHistory(filepath.Join(dir, "data", "history"), "freezer-1", "temperature", time.Now().Add(-age), []float64{-20}); err != nil {
			t.Fatal(err)
		}
		_, out, errs := runHere(t.Context(), "", vars, "check", "--json", "-c", filepath.Join(dir, "tocsin.toml"))
		var report struct {
			Problems []struct{ Fact string }
			History  *struct{ Inputs int }
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err, out, errs)
		}
		said := strings.Contains(out, "has not sent")
		if said != want || want && (report.History == nil || report.History.Inputs != 60) || !want && report.History != nil {
			t.Errorf("of %v ago: %s%s", age, out, errs)
		}
	}
}
