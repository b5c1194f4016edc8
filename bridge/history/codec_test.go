package history

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tocsin/rules"
)

func anyTime(t *rapid.T) time.Time {
	switch rapid.IntRange(0, 4).Draw(t, "time") {
	case 0:
		return time.Time{}
	case 1: // beyond what nanoseconds can tell
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	case 2:
		return time.Unix(0, rapid.Int64().Draw(t, "nanoseconds")).UTC()
	case 3:
		return time.UnixMilli(1_800_000_000_000 + rapid.Int64Range(-1e9, 1e9).Draw(t, "milliseconds")).UTC()
	}
	return time.Unix(1_800_000_000, rapid.Int64Range(-1e12, 1e12).Draw(t, "nanoseconds")).UTC()
}

func anyNumber(t *rapid.T) float64 {
	switch rapid.IntRange(0, 3).Draw(t, "number") {
	case 0:
		return rapid.Float64().Draw(t, "float")
	case 1:
		return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
	case 2:
		return rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 1 << 53, 1<<51 - 1, -1 << 51}).Draw(t, "special")
	}
	return float64(rapid.IntRange(-1e6, 1e6).Draw(t, "thousandths")) / 1000
}

func inputs() *rapid.Generator[[]rules.Input] {
	names := rapid.SampledFrom([]string{"", "a", "b", "temperature", "freezer-07", "ünïcode", "\x00\xff", "a/b"})
	sets := rapid.SampledFrom([]map[string]string{nil, {}, {"site": "lyon"}, {"site": "lyon", "room": "1"}, {"": ""}})
	sample := rapid.Custom(func(t *rapid.T) rules.Sample {
		return rules.Sample{
			Source: names.Draw(t, "source"), Device: names.Draw(t, "device"), Metric: names.Draw(t, "metric"),
			Labels: sets.Draw(t, "labels"), Kind: rules.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			Num: anyNumber(t), Text: rapid.String().Draw(t, "text"), Unit: names.Draw(t, "unit"),
			At: anyTime(t), Received: anyTime(t), Clock: rules.Clock(rapid.IntRange(0, 2).Draw(t, "clock")),
			Flags: rules.Flags(rapid.Byte().Draw(t, "flags")), Invalid: names.Draw(t, "invalid"),
			Seq: rapid.Uint64().Draw(t, "seq"), HasSeq: rapid.Bool().Draw(t, "has seq"),
		}
	})
	return rapid.SliceOf(rapid.Custom(func(t *rapid.T) rules.Input {
		in := rules.Input{Now: anyTime(t)}
		switch rapid.IntRange(0, 6).Draw(t, "input") {
		case 0, 1:
			s := sample.Draw(t, "sample")
			in.Sample = &s
		case 2:
			in.Batch = rapid.SliceOf(sample).Draw(t, "batch")
		case 3:
			in.Presence = &rules.Presence{
				Source: names.Draw(t, "source"), Device: names.Draw(t, "device"), Reason: rapid.String().Draw(t, "reason"),
				Status: rules.Status(rapid.IntRange(0, 4).Draw(t, "status")), At: anyTime(t),
			}
		case 4:
			in.Link = &rules.Link{Source: names.Draw(t, "source"), Connected: rapid.Bool().Draw(t, "connected")}
		case 5:
			in.Command = &rules.Command{
				Verb: rules.Verb(names.Draw(t, "verb")), Key: names.Draw(t, "key"), By: rapid.String().Draw(t, "by"),
				Reason: rapid.String().Draw(t, "reason"), Until: anyTime(t),
			}
		case 6:
			in.Gap = &rules.Gap{From: anyTime(t), To: anyTime(t)}
		}
		return in
	}))
}

func TestInputsComeBackToTheBit(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		want := inputs().Draw(rt, "inputs")
		// A recorder that writes blocks at odd places, read as a file.
		var file bytes.Buffer
		r, err := NewRecorder(&file)
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range want {
			if err := r.Record(in); err != nil {
				t.Fatal(err)
			}
			if i%5 == 4 {
				if err := r.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "recorded")
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, problems := collect(t, ReplayFile(ctx(), path, time.Time{}))
		if len(problems) > 0 {
			rt.Fatalf("problems: %v", problems)
		}
		if len(got) != len(want) {
			rt.Fatalf("%d inputs came back of %d", len(got), len(want))
		}
		for i := range want {
			if diff := cmp.Diff(want[i], got[i], exactly()); diff != "" {
				rt.Fatalf("input %d (-appended +read):\n%s", i, diff)
			}
		}
	})
}

func TestLikeSamplesShareTheirLabels(t *testing.T) {
	labels := map[string]string{"site": "lyon"}
	e := newEncoder()
	for i := range 3 {
		in := reading(i)
		in.Sample.Labels = labels
		e.add(&in)
	}
	var d decoder
	d.begin(e.buf)
	var first map[string]string
	for i := range 3 {
		in, _, ok, err := d.next()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if i == 0 {
			first = in.Sample.Labels
		}
		first["mark"] = "seen"
		if in.Sample.Labels["mark"] != "seen" {
			t.Errorf("sample %d has a map of its own", i)
		}
	}
}

// What can be decoded is written again as the same inputs; anything else is an
// error, and nothing takes more memory than a block may.
func FuzzBlock(f *testing.F) {
	e := newEncoder()
	for i := range 20 {
		in := reading(i)
		in.Sample.Labels = map[string]string{"site": "lyon"}
		e.add(&in)
	}
	e.missing(7)
	now := time.Unix(1_800_000_000, 5).UTC()
	for _, in := range []rules.Input{
		{Now: now, Batch: []rules.Sample{*reading(1).Sample, {Kind: rules.Text, Text: "open", HasSeq: true, Seq: 9}}},
		{Now: now, Presence: &rules.Presence{Device: "a", Status: rules.Lost, Reason: "will"}},
		{Now: now, Link: &rules.Link{Source: "plant", Connected: true}},
		{Now: now, Command: &rules.Command{Verb: rules.Ack, Key: "rule/a"}},
		{Now: now, Gap: &rules.Gap{From: now, To: now.Add(time.Hour)}},
	} {
		e.add(&in)
	}
	f.Add(e.buf)
	f.Add([]byte{recordBatch, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > maxRaw {
			return
		}
		var d, again decoder
		e := newEncoder()
		d.begin(payload)
		var first []rules.Input
		for {
			in, missing, ok, err := d.next()
			if err != nil {
				return
			}
			if !ok {
				break
			}
			if missing > 0 || isTick(&in) {
				continue
			}
			in = clone(in)
			if !e.add(&in) {
				return // it grew: names may be written shorter than is done here
			}
			first = append(first, in)
		}
		again.begin(e.buf)
		for i := range first {
			in, _, ok, err := again.next()
			if err != nil || !ok {
				t.Fatalf("input %d is not read again: %v", i, err)
			}
			if diff := cmp.Diff(first[i], in, exactly()); diff != "" {
				t.Fatalf("input %d (-first +again):\n%s", i, diff)
			}
		}
	})
}

// A file of any bytes is read to its end, or to where it makes no sense.
func FuzzFile(f *testing.F) {
	var file bytes.Buffer
	r, err := NewRecorder(&file)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 30 {
		if err := r.Record(reading(i)); err != nil {
			f.Fatal(err)
		}
		if i%10 == 9 {
			if err := r.Flush(); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Add(file.Bytes())
	f.Add(file.Bytes()[:len(file.Bytes())-9])
	f.Add([]byte(magic))
	u, err := newUnpacker()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		at := int64(len(magic))
		err := headers("file", bytes.NewReader(data), int64(len(data)), func(h *header, offset int64) bool {
			if offset < at || offset+headerBytes+int64(h.size) > int64(len(data)) {
				t.Fatalf("a block at %d of %d bytes lies outside", offset, h.size)
			}
			at = offset + headerBytes
			if payload, err := u.read(bytes.NewReader(data), h, offset); err == nil && len(payload) > maxRaw {
				t.Fatalf("a payload of %d bytes", len(payload))
			}
			return true
		})
		if err != nil {
			if _, ok := err.(*Problem); !ok {
				t.Fatal(err)
			}
		}
	})
}

// The checksums keep a fuzzer out of what is behind them.
func FuzzUnpack(f *testing.F) {
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	u, err := newUnpacker()
	if err != nil {
		f.Fatal(err)
	}
	block := p.pack(0, bounds{}, bytes.Repeat([]byte("temperature "), 100))
	f.Add(append([]byte{}, block[headerBytes:]...), 1200)
	f.Fuzz(func(t *testing.T, packed []byte, raw int) {
		if raw < 0 || raw > maxRaw {
			return
		}
		if payload, err := u.unpack(packed, raw); err == nil && len(payload) != raw {
			t.Fatalf("%d bytes, and the header says %d", len(payload), raw)
		}
	})
}
