package webhook

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Diagnosis is what most likely happened to a message that does not verify.
// The zero Diagnosis means that no mistake we know explains it: then another
// secret signed it, or its content changed.
type Diagnosis struct {
	Mistake string // what was done
	Remedy  string // what to do instead
	Proved  bool   // the signature was reproduced by making this very mistake
}

// Diagnose looks for the mistake that keeps a request from verifying by one
// scheme, by making the usual ones until the given signature comes out: in the
// key, in what was signed, in the body's bytes, in how the signature is written,
// and in pairs of these. It is for people at a terminal; it takes some hundred
// times the work of [Verify] and must not answer strangers.
func Diagnose(k Keys, r Request, s Scheme) Diagnosis {
	k.Secrets = slices.DeleteFunc(slices.Clone(k.Secrets), Secret.IsZero)
	switch s {
	case GitHub:
		return diagnoseGitHub(k, &r)
	case Stripe:
		return diagnoseStripe(k, &r)
	case Ed25519:
		return diagnoseEd25519(k, &r)
	case RFC9421:
		return diagnoseMessage(k, &r)
	}
	return diagnoseStandard(k, &r)
}

// A slip is one way to get a part of a signature wrong. The first of a list is
// the right way and has no mistake.
type slip struct {
	mistake, remedy string
	value           []byte
}

// made are the signatures that a request carries, and in which spelling.
type made map[[sha256.Size]byte]slip

// search tries single mistakes before pairs of them.
func (m made) search(keys, heads, bodies []slip) (Diagnosis, bool) {
	for most := range 3 {
		for _, k := range keys {
			for _, h := range heads {
				for _, b := range bodies {
					if count(k, h, b) != most {
						continue
					}
					if g, ok := m[digest(k.value, h.value, b.value)]; ok {
						return proved(k, h, b, g), true
					}
				}
			}
		}
	}
	return Diagnosis{}, false
}

func count(slips ...slip) (n int) {
	for _, s := range slips {
		if s.mistake != "" {
			n++
		}
	}
	return n
}

func proved(slips ...slip) Diagnosis {
	d := Diagnosis{Proved: true}
	var mistakes, remedies []string
	for _, s := range slips {
		if s.mistake != "" {
			mistakes, remedies = append(mistakes, s.mistake), append(remedies, s.remedy)
		}
	}
	if len(mistakes) == 0 {
		mistakes = []string{"nothing: the signature is right"}
		remedies = []string{"look at the timestamp, which is judged after it"}
	}
	d.Mistake, d.Remedy = strings.Join(mistakes, ", and "), strings.Join(remedies, "; ")
	return d
}

func digest(key, head, body []byte) (sum [sha256.Size]byte) {
	mac(sum[:0], key, head, body)
	return sum
}

// shifted looks for a timestamp within ten minutes of the one in a header. try
// says whether a number of seconds is what was signed.
func shifted(header string, at time.Time, try func(ts string) bool) (Diagnosis, bool) {
	for d := int64(1); d <= 600; d++ {
		for _, sec := range []int64{at.Unix() + d, at.Unix() - d} {
			if ts := strconv.FormatInt(sec, 10); try(ts) {
				return Diagnosis{
					Mistake: fmt.Sprintf("the %s is not the one that was signed, which is %s", header, ts),
					Remedy:  "read the clock once for both, and keep the headers as they came",
					Proved:  true,
				}, true
			}
		}
	}
	return Diagnosis{}, false
}

// suspect names what looks wrong when nothing could be proved.
func suspect(entry string, given int, body []byte) Diagnosis {
	switch {
	case given == 0:
		return Diagnosis{Mistake: "no entry of " + entry + " in base64 or hex: it was cut short or changed", Remedy: keepHeaders}
	case len(body) == 0:
		return Diagnosis{Mistake: "the body is empty", Remedy: "look for something that read the body before it was verified or captured"}
	case loose(body):
		return Diagnosis{Mistake: "the body is JSON with white space in it, which senders seldom write: it may have been parsed and written again", Remedy: "verify the bytes as they came, before anything parses them"}
	}
	return Diagnosis{}
}

const keepHeaders = "keep the headers exactly as they came"
