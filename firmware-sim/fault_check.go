package sim

import (
	"crypto/tls"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fault refuses one that lacks what its kind needs, or has what it does not take.
func (c *checker) fault(at string, f *Fault, p *Profile) {
	c.whom(at, f)
	k, known := kinds()[f.Kind]
	if !known {
		if f.Kind == "" {
			c.add(at, "needs either add or set, or a kind (write one of them)")
		} else {
			c.add(at+".kind", "%q is none (use %s)", f.Kind, strings.Join(slices.Sorted(maps.Keys(kinds())), ", "))
		}
		c.lasting(at, f)
		return
	}
	if k.aspect == ofSignal && !slices.ContainsFunc(slices.Collect(maps.Values(p.Models)), func(m *Model) bool { return m.Signals[f.Signal] != nil }) {
		c.add(at+".signal", "no model has a signal %q (name one that a model has)", f.Signal)
	}
	c.number(at+".add", f.Add)
	c.number(at+".set", f.Set)
	given := f.given()
	for _, key := range k.needs {
		if !given[key] {
			c.add(at+"."+key, "is missing, and %s needs it (%s)", f.Kind, k.about)
		}
	}
	for key := range sorted(given) {
		if key == "signal" && k.aspect == ofSignal {
			continue
		}
		if given[key] && !slices.Contains(k.needs, key) && !slices.Contains(k.takes, key) {
			c.add(at+"."+key, "is nothing that %s takes (remove it; it takes %s)", f.Kind, orNone(append(slices.Clone(k.needs), k.takes...)))
		}
	}
	c.lasting(at, f)
	c.values(at, f, p)
}

func orNone(keys []string) string {
	if len(keys) == 0 {
		return "none"
	}
	return strings.Join(keys, ", ")
}

// whom refuses globs and shares that name nobody.
func (c *checker) whom(at string, f *Fault) {
	if f.Group != "" && f.Device != "" {
		c.add(at+".group", "and device exclude each other (choose one)")
	}
	if _, err := path.Match(f.Device, ""); f.Group == "" && (err != nil || f.Device == "") {
		c.add(at+".device", "%q is neither an id nor a glob (freezer-03, freezer-*)", f.Device)
	}
	if _, err := path.Match(f.Group, ""); err != nil || f.Group != "" && !strings.Contains(f.Group, "/") {
		c.add(at+".group", "%q is neither a group nor a glob (FLEET/1, FLEET/*)", f.Group)
	}
	if !(f.Share >= 0 && f.Share <= 1) {
		c.add(at+".share", "%v is no share (write a number above 0 and up to 1, or leave it out for all)", f.Share)
	}
}

// given are the keys that only some kinds take, and whether they are there.
func (f *Fault) given() map[string]bool {
	return map[string]bool{
		"signal": f.Signal != "",
		"add":    f.Add != nil, "set": f.Set != nil, "over": f.Over != 0, "recover": f.Recover != 0,
		"chance": f.Chance != 0, "word": f.Word != "", "unit": f.Unit != "", "gain": f.Gain != 0,
		"every": f.Every != 0, "factor": f.Factor != 0, "ahead": f.Ahead != 0, "behind": f.Behind != 0,
		"delay": f.Delay != 0, "bytes": f.Bytes != 0, "cert": f.Cert != "", "key": f.Key != "", "keep": f.Keep != nil, "jitter": f.Jitter != 0,
		"version": f.Version != "", "fails": f.Fails,
	}
}

// lasting refuses faults that are over before they are complete.
func (c *checker) lasting(at string, f *Fault) {
	if f.For == 0 && f.Kind != "power-cut" && f.Kind != "reconnect" {
		c.add(at+".for", `is missing or zero (say how long it lasts: for = "2m")`)
	}
	if f.Over > f.lasts() {
		c.add(at+".over", "is longer than for (the fault would end before it is complete)")
	}
	length := f.For + f.Recover
	if f.Kind == "ota" && f.Fails {
		length += f.For / 5
	}
	if f.Kind == "reconnect" {
		length = max(length, f.Jitter)
	}
	if f.Repeat != 0 && f.Repeat < length {
		c.add(at+".repeat", "is shorter than for and recover together (it would begin again before it has ended)")
	}
}

// values refuses what a kind cannot do.
func (c *checker) values(at string, f *Fault, p *Profile) {
	if !(f.Chance >= 0 && f.Chance <= 1) {
		c.add(at+".chance", "%v is no chance (write a number above 0 and up to 1, or leave it out for every reading)", f.Chance)
	}
	if f.Kind == "skew" && (f.Ahead == 0) == (f.Behind == 0) {
		c.add(at, "needs either ahead or behind (say by how much the clock is wrong)")
	}
	if f.Ahead > forever || f.Behind > forever {
		c.add(at, "the clock is off by more than 70 years (write less)")
	}
	if f.Kind == "brown-out" && f.Every != 0 && f.For/f.Every > maxBoots {
		c.add(at+".every", "makes more than %d boots in for (write a longer one)", maxBoots)
	}
	if f.Kind == "drain" && !(f.Factor >= 1 && f.Factor <= 1e9) {
		c.add(at+".factor", "%v is no factor (write how many times as fast, from 1 up)", f.Factor)
	}
	if !(f.Gain >= -1e9 && f.Gain <= 1e9) {
		c.add(at+".gain", "%v is not a usable number (write one within ±1e9)", f.Gain)
	}
	if f.Kind == "trickle" && f.Bytes != 0 && !(f.Bytes > 0 && f.Bytes <= 1e9) {
		c.add(at+".bytes", "%v is no pace (write how many pass in a second, above 0)", f.Bytes)
	}
	if f.Kind == "certificate" && f.Cert != "" && f.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.beside(f.Cert), c.beside(f.Key))
		if err != nil {
			c.add(at+".cert", "%v (write a certificate and its key as PEM, beside the profile)", err)
		}
		f.pair = &pair
	}
	if f.Keep != nil && (*f.Keep < 0 || f.For/Duration(time.Second) > 0 && *f.Keep > maxKept) {
		c.add(at+".keep", "is %d (write how many readings the device keeps, from 0 to %d)", *f.Keep, maxKept)
	}
	if f.Kind == "drain" && !slices.ContainsFunc(slices.Collect(maps.Values(p.Models)), func(m *Model) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(m.Signals)), func(s *Signal) bool { return s.Battery != nil })
	}) {
		c.add(at, "no model has a battery (give a signal battery = { life = \"720h\" })")
	}
}

// beside is the path of a file that a profile names.
func (c *checker) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.dir, file)
}

// Limits of faults.
const (
	maxBoots = 10_000
	maxKept  = 1_000_000
)
