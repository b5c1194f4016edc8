package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Diagnosis is what most likely happened to a message that does not verify.
// The zero Diagnosis means that no mistake we know explains it: then another
// secret signed it, or its content changed.
type Diagnosis struct {
	Mistake string // what was done
	Remedy  string // what to do instead
	Proved  bool   // the signature was reproduced by making this very mistake
}

// Diagnose looks for the mistake that keeps a message from verifying, by making
// the usual ones until the given signature comes out: in the key, in what was
// signed, in the body's bytes, in how the signature is written, and in pairs of
// these. It is for people at a terminal; it takes some hundred times the work
// of [Verify] and must not answer strangers.
func Diagnose(secrets []Secret, header http.Header, body []byte) Diagnosis {
	s, err := readSigned(header)
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: "keep the webhook-id, webhook-timestamp and webhook-signature headers exactly as they came"}
	}
	given := decodeSignatures(s.signatures)
	bodies := bodySlips(body)
	for _, secret := range secrets {
		if secret.IsZero() {
			continue
		}
		if d, ok := diagnose(secret, s, body, bodies, given); ok {
			return d
		}
	}
	return suspect(given, body)
}

// A slip is one way to get a part of a signature wrong. The first of a list is
// the right way and has no mistake.
type slip struct {
	mistake, remedy string
	value           []byte
}

// diagnose tries single mistakes before pairs of them.
func diagnose(secret Secret, s signed, body []byte, bodies []slip, given map[[sha256.Size]byte]slip) (Diagnosis, bool) {
	keys, heads := keySlips(secret), headSlips(s, body)
	for most := range 3 {
		for _, k := range keys {
			for _, h := range heads {
				for _, b := range bodies {
					if count(k, h, b) != most {
						continue
					}
					if g, ok := given[digest(k.value, h.value, b.value)]; ok {
						return proved(k, h, b, g), true
					}
				}
			}
		}
	}
	return shiftedTime(secret, s, body, given)
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
	h := newMAC(key)
	_, _ = h.Write(head)
	_, _ = h.Write(body)
	h.Sum(sum[:0])
	return sum
}

func keySlips(secret Secret) []slip {
	text := secret.Reveal()
	b64 := strings.TrimPrefix(text, secretPrefix)
	const decode = "decode the base64 after whsec_ and use those bytes as the key"
	return []slip{
		{value: secret.bytes()},
		{"the whole text of the secret, whsec_ included, was used as the key", decode, []byte(text)},
		{"the base64 text after whsec_ was used as the key, undecoded", decode, []byte(b64)},
		{"whsec_ was base64-decoded together with the rest", "cut whsec_ off before decoding", decodeLoosely(text)},
		{"the text of the secret, with a line end, was used as the key", decode + ", without the line end of the file it came from", []byte(text + "\n")},
		{"the base64 text after whsec_, with a line end, was used as the key", decode + ", without the line end of the file it came from", []byte(b64 + "\n")},
	}
}

// decodeLoosely decodes as Node's Buffer does: either alphabet, no padding
// needed, left-over bits dropped. It takes whsec_ for six digits.
func decodeLoosely(s string) []byte {
	s = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s)
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	b, _ := base64.RawURLEncoding.DecodeString(s)
	return b
}

func headSlips(s signed, body []byte) []slip {
	const remedy = "sign webhook-id, webhook-timestamp and the body, joined by dots"
	out := []slip{
		{value: []byte(s.id + "." + s.timestamp + ".")},
		{"only the body was signed", remedy, nil},
		{"the id was left out", remedy, []byte(s.timestamp + ".")},
		{"the timestamp was left out", remedy, []byte(s.id + ".")},
		{"the dots were left out", remedy, []byte(s.id + s.timestamp)},
		{"the timestamp was put before the id", remedy, []byte(s.timestamp + "." + s.id + ".")},
		{"the timestamp was signed in milliseconds", "sign the number of the webhook-timestamp header, in seconds", []byte(s.id + "." + s.timestamp + "000.")},
	}
	var inside struct {
		ID   string `json:"id"`
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &inside) == nil {
		for _, id := range []string{inside.ID, inside.Data.ID} {
			if id != "" && id != s.id {
				out = append(out, slip{"the webhook-id is not the one that was signed, which is the id in the body", "keep the headers as they came",
					[]byte(id + "." + s.timestamp + ".")})
			}
		}
	}
	return out
}

// shiftedTime looks for a timestamp within ten minutes of the header's.
func shiftedTime(secret Secret, s signed, body []byte, given map[[sha256.Size]byte]slip) (Diagnosis, bool) {
	for d := int64(1); d <= 600; d++ {
		for _, sec := range []int64{s.time.Unix() + d, s.time.Unix() - d} {
			head := []byte(s.id + "." + strconv.FormatInt(sec, 10) + ".")
			if _, ok := given[digest(secret.bytes(), head, body)]; ok {
				return Diagnosis{
					Mistake: fmt.Sprintf("the webhook-timestamp is not the one that was signed, which is %d", sec),
					Remedy:  "read the clock once for both, and keep the headers as they came",
					Proved:  true,
				}, true
			}
		}
	}
	return Diagnosis{}, false
}

// bodySlips are bodies that may have been signed, when body is what arrived.
func bodySlips(body []byte) []slip {
	const raw = "verify the bytes as they came, before anything reads, trims or parses them"
	out := []slip{{value: body}}
	seen := map[string]bool{string(body): true}
	add := func(mistake string, b []byte) {
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, slip{mistake, raw, b})
		}
	}
	for _, end := range []string{"\r\n", "\n"} {
		if b, ok := bytes.CutSuffix(body, []byte(end)); ok {
			add("the body has a line end at its end that was not signed", b)
		}
		add("the body has lost the line end at its end", append(bytes.Clone(body), end...))
	}
	add("the line ends of the body were turned into CRLF", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")))
	add("the line ends of the body were turned into LF", bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n")))
	add("the body has white space around it that was not signed", bytes.TrimSpace(body))
	add("the body begins with a byte order mark that was not signed", bytes.TrimPrefix(body, []byte("\ufeff")))
	add("the body has lost its byte order mark", append([]byte("\ufeff"), body...))
	add("an empty body was signed", nil)
	add("the body was read as Latin-1 and written as UTF-8", fromLatin1(body))
	add("the body was turned from UTF-8 into Latin-1", toUTF8(body))
	for _, b := range jsonSpellings(body) {
		add("the JSON of the body was parsed and written again", b)
	}
	return out
}

// fromLatin1 undoes a needless encoding into UTF-8.
func fromLatin1(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for _, r := range string(body) {
		if r > 0xff {
			return body
		}
		out = append(out, byte(r&0xff))
	}
	return out
}

func toUTF8(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	out := make([]byte, 0, len(body)+8)
	for _, c := range body {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

// jsonSpellings writes the body's JSON as the usual libraries do.
func jsonSpellings(body []byte) [][]byte {
	if !json.Valid(body) {
		return nil
	}
	var out [][]byte
	add := func(b []byte) {
		out = append(out, b, bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)), asciiJSON(b), spaced(b))
		for _, indent := range []string{"  ", "    ", "\t"} {
			var w bytes.Buffer
			if json.Indent(&w, b, "", indent) == nil {
				out = append(out, w.Bytes())
			}
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		add(compact.Bytes())
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return out
	}
	for _, html := range []bool{false, true} {
		var w bytes.Buffer
		e := json.NewEncoder(&w)
		e.SetEscapeHTML(html)
		if e.Encode(v) == nil {
			add(bytes.TrimSuffix(w.Bytes(), []byte("\n"))) // keys sorted
		}
	}
	return out
}

// spaced puts a space after each comma and colon, as Python's json does.
func spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString := false
	for i, c := range compact {
		out = append(out, c)
		switch {
		case c == '"' && !escaped(compact[:i]):
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// escaped reports whether a character after b would be escaped.
func escaped(b []byte) bool {
	n := len(b) - len(bytes.TrimRight(b, `\`))
	return n%2 == 1
}

// asciiJSON writes characters beyond ASCII as \u escapes.
func asciiJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return out
}

// decodeSignatures reads signatures in every spelling that occurs, and says
// which spelling is not ours.
func decodeSignatures(entries []string) map[[sha256.Size]byte]slip {
	out := make(map[[sha256.Size]byte]slip)
	for _, e := range entries {
		text, prefixed := strings.CutPrefix(e, versionHMAC)
		var s slip
		if !prefixed {
			s = slip{mistake: "the signature is not prefixed with v1 and a comma", remedy: "write v1, before the base64"}
			if i := strings.IndexAny(text, "=:,"); i > 0 && i < 8 {
				text = text[i+1:]
			}
		}
		for _, as := range []struct {
			mistake string
			decode  func(string) ([]byte, error)
		}{
			{"", base64.StdEncoding.Strict().DecodeString},
			{"the signature is written in hex", hex.DecodeString},
			{"the signature's base64 lacks its padding", base64.RawStdEncoding.DecodeString},
			{"the signature is URL-safe base64", base64.URLEncoding.DecodeString},
			{"the signature is URL-safe base64 without padding", base64.RawURLEncoding.DecodeString},
			{"the signature is the base64 of hex text", hexInBase64},
		} {
			sum, err := as.decode(text)
			if err != nil || len(sum) != sha256.Size {
				continue
			}
			if as.mistake != "" {
				s = slip{mistake: as.mistake, remedy: "write v1, and the standard base64 of the 32 bytes"}
			}
			if _, known := out[[sha256.Size]byte(sum)]; !known {
				out[[sha256.Size]byte(sum)] = s
			}
			break
		}
	}
	return out
}

func hexInBase64(s string) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(string(text))
}

// suspect names what looks wrong when nothing could be proved.
func suspect(given map[[sha256.Size]byte]slip, body []byte) Diagnosis {
	switch {
	case len(given) == 0:
		return Diagnosis{Mistake: "no entry of webhook-signature is 32 bytes in base64 or hex: it was cut short or changed", Remedy: "keep the headers exactly as they came"}
	case len(body) == 0:
		return Diagnosis{Mistake: "the body is empty", Remedy: "look for something that read the body before it was verified or captured"}
	case json.Valid(body) && len(jsonSpellings(body)) > 0 && !bytes.Equal(jsonSpellings(body)[0], body):
		return Diagnosis{Mistake: "the body is JSON with white space in it, which senders seldom write: it may have been parsed and written again", Remedy: "verify the bytes as they came, before anything parses them"}
	}
	return Diagnosis{}
}
