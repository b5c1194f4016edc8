package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tocsin/bridge/config"
)

// What the machine is asked. Judging is apart from looking, so that what no test
// can bring about is judged in a test all the same.

func examineClock(now time.Time) []finding {
	kept, known := clockIsKept()
	return []finding{judgeClock(now, kept, known)}
}

func judgeClock(now time.Time, kept, known bool) finding {
	shown := now.UTC().Format(time.RFC3339)
	switch {
	case now.Year() < 2026: // there was no tocsin
		return finding{wrong, "clock", "it says " + shown, "set it: signatures carry the time, and receivers refuse what is old"}
	case !known:
		return finding{fine, "clock", "it says " + shown + "; whether it is kept right cannot be told here", ""}
	case !kept:
		return finding{suspect, "clock", "it says " + shown + ", and nothing keeps it right", "run an NTP client, as chrony or systemd-timesyncd"}
	}
	return finding{fine, "clock", "it says " + shown + ", and is kept right", ""}
}

// Space that a store needs, and that a careful operator leaves it.
const (
	leastSpace  = 64 << 20
	enoughSpace = 1 << 30
	slowSync    = 100 * time.Millisecond
)

func examineDisk(cfg *config.Config) []finding {
	// A folder that does not exist yet is made below the first that does.
	dir, missing := filepath.Clean(cfg.Store.Path), false
	for {
		_, err := os.Stat(dir)
		if err == nil { // a folder: paths through files are refused when the configuration is
			break
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, os.ErrNotExist) || parent == dir {
			return []finding{{wrong, "disk", fmt.Sprintf("%s: %v", dir, err), "choose another store.path"}}
		}
		dir, missing = parent, true
	}
	took, err := syncTime(dir)
	if err != nil {
		return []finding{{wrong, "disk", err.Error(), "tocsin must be able to write there: change the folder's owner, or store.path"}}
	}
	where := cfg.Store.Path
	if missing {
		where += ", which will be made"
	}
	found := []finding{judgeSync(where, took)}
	if free, ok := freeSpace(dir); ok {
		found = append(found, judgeSpace(free))
	}
	if kind, ok := fileSystem(dir); ok {
		found = append(found, kind)
	}
	return found
}

// syncTime is how long it takes until what was written is safe: the median of a few.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".tocsin-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	var took []time.Duration
	for range 5 {
		begun := time.Now()
		if _, err = f.Write(make([]byte, 4096)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			break
		}
		took = append(took, time.Since(begun))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func judgeSync(where string, took time.Duration) finding {
	fact := fmt.Sprintf("%s: a sync takes %s", where, took.Round(10*time.Microsecond))
	if took > slowSync {
		return finding{suspect, "disk", fact, "each acknowledgement waits for one: a disk with a cache that outlives a power cut, or an SSD, is faster"}
	}
	return finding{fine, "disk", fact, ""}
}

func judgeSpace(free int64) finding {
	fact := fmt.Sprintf("%d MiB are free", free>>20)
	switch {
	case free < leastSpace:
		return finding{wrong, "disk", fact, "make room: with less than 64 MiB nothing is recorded, and without any nothing is acknowledged"}
	case free < enoughSpace:
		return finding{suspect, "disk", fact, "what endpoints are owed while they are down is kept there: leave 1 GiB"}
	}
	return finding{fine, "disk", fact, ""}
}

// examineModes looks at what the store has written, perhaps restored by hand. Keys
// and secrets that others can read are refused when the configuration is.
func examineModes(cfg *config.Config) []finding {
	entries, err := os.ReadDir(cfg.Store.Path)
	if err != nil {
		return nil // there is none yet, or it was said above
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().Perm()&0o007 != 0 {
			path := filepath.Join(cfg.Store.Path, entry.Name())
			return []finding{{suspect, "files", fmt.Sprintf("%s can be read or written by everyone (mode %04o)", path, info.Mode().Perm()), "chmod -R o= " + cfg.Store.Path}}
		}
	}
	return []finding{{fine, "files", "the store's files are ours", ""}}
}

func examineCertificates(cfg *config.Config, now time.Time) []finding {
	pairs := map[string]config.KeyPair{"http.tls": cfg.HTTP.TLS}
	if cfg.Broker.Mode == config.Embedded {
		pairs["broker.embedded.tls"] = cfg.Broker.Embedded.TLS.KeyPair
	} else {
		pairs["broker.external.tls"] = cfg.Broker.External.TLS.KeyPair
	}
	for name, e := range cfg.Endpoints {
		pairs["endpoint."+name+".tls"] = e.TLS.KeyPair
	}
	var found []finding
	for _, place := range sortedKeys(pairs) {
		if pairs[place].Cert == "" {
			continue
		}
		pair, err := pairs[place].Certificate()
		if err != nil {
			found = append(found, finding{wrong, "certificates", place + ": " + err.Error(), "name a certificate and its key"})
			continue
		}
		found = append(found, judgeExpiry("certificates", place+": ours", endOf(&pair), now))
	}
	return found
}

func endOf(pair *tls.Certificate) time.Time {
	if pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}

// judgeExpiry judges a certificate by when it ends.
func judgeExpiry(place, whose string, end, now time.Time) finding {
	const soon = 21 * 24 * time.Hour
	fact := whose + " ends " + end.UTC().Format(time.DateOnly)
	switch {
	case now.After(end):
		return finding{wrong, place, whose + " ended " + end.UTC().Format(time.DateOnly), "renew it"}
	case end.Sub(now) < soon:
		return finding{suspect, place, fact + ", in " + count(int(end.Sub(now)/(24*time.Hour)), "day"), "renew it"}
	}
	return finding{fine, place, fact, ""}
}

func examinePorts(cfg *config.Config, runs bool) []finding {
	addresses := map[string]string{"http.listen": cfg.HTTP.Listen}
	if cfg.Broker.Mode == config.Embedded {
		addresses["broker.embedded.listen"] = cfg.Broker.Embedded.Listen
		addresses["broker.embedded.tls.listen"] = cfg.Broker.Embedded.TLS.Listen
	}
	var found []finding
	for _, key := range sortedKeys(addresses) {
		if address := addresses[key]; address != "" && !strings.HasSuffix(address, ":0") { // which is any
			l, err := net.Listen("tcp", address)
			if err == nil {
				_ = l.Close()
			}
			found = append(found, judgePort(key+" "+address, err, runs))
		}
	}
	return found
}

// judgePort judges an address by what became of the attempt to listen there.
func judgePort(where string, err error, runs bool) finding {
	switch {
	case err == nil && runs:
		return finding{suspect, "ports", where + " is free, although a bridge runs with this store", "it was started with another configuration: restart it to go by this one"}
	case err == nil:
		return finding{fine, "ports", where + " is free", ""}
	case errors.Is(err, syscall.EADDRINUSE) && runs:
		return finding{fine, "ports", where + " is in use, as it should be while a bridge runs", ""}
	case errors.Is(err, syscall.EADDRINUSE):
		return finding{wrong, "ports", where + " is in use by another program", "ss -ltnp says by which; stop it, or choose another port"}
	case errors.Is(err, syscall.EACCES):
		return finding{wrong, "ports", where + " is not allowed to us", "choose a port above 1023, or give tocsin CAP_NET_BIND_SERVICE"}
	}
	var cause syscall.Errno
	if errors.As(err, &cause) {
		err = cause
	}
	return finding{wrong, "ports", where + ": " + err.Error(), "write an address of this machine"}
}
