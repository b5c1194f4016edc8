package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
)

func diagnoseStandard(k Keys, r *Request) Diagnosis {
	s, err := readSigned(r.Header)
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: "keep the webhook-id, webhook-timestamp and webhook-signature headers exactly as they came"}
	}
	given := decodeSignatures(s.signatures)
	bodies := bodySlips(r.Body)
	for _, secret := range k.Secrets {
		if secret.IsText() {
			continue
		}
		if d, ok := given.search(keySlips(secret), headSlips(s, r.Body), bodies); ok {
			return d
		}
		d, ok := shifted("webhook-timestamp", s.time, func(ts string) bool {
			_, ok := given[digest(secret.bytes(), standardHead(nil, s.id, ts), r.Body)]
			return ok
		})
		if ok {
			return d
		}
	}
	return suspect("webhook-signature is 32 bytes", len(given), r.Body)
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

// decodeSignatures reads signatures in every spelling that occurs, and says
// which spelling is not ours.
func decodeSignatures(entries []string) made {
	out := make(made)
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

// textSlips are keys that may have been used where the secret's text is the key.
func textSlips(secret Secret) []slip {
	text := string(secret.text())
	const whole = "use the text of the secret as it stands, whsec_ included, as the key"
	b64, ours := strings.CutPrefix(text, secretPrefix)
	slips := []slip{
		{value: secret.text()},
		{"the text of the secret, with a line end, was used as the key", whole + ", without the line end of the file it came from", []byte(text + "\n")},
	}
	if ours {
		slips = append(slips,
			slip{"the base64 after whsec_ was decoded and used as the key, as Standard Webhooks does", whole, secret.bytes()},
			slip{"the text after whsec_ was used as the key", whole, []byte(b64)})
	}
	return slips
}

// hexSignatures reads signatures of 32 bytes that ought to be in hex.
func hexSignatures(entries []string, form string) made {
	out := made{}
	for _, e := range entries {
		for _, as := range []struct {
			mistake string
			decode  func(string) ([]byte, error)
		}{
			{"", hex.DecodeString},
			{"the signature is written in base64", base64.StdEncoding.DecodeString},
			{"the signature is written in base64 without padding", base64.RawStdEncoding.DecodeString},
			{"the signature is URL-safe base64", base64.URLEncoding.DecodeString},
		} {
			sum, err := as.decode(e)
			if err != nil || len(sum) != sha256.Size {
				continue
			}
			s := slip{mistake: as.mistake, remedy: "write " + form}
			if as.mistake == "" && strings.ToLower(e) != e {
				s.mistake = "the signature is hex in upper case"
			}
			out[[sha256.Size]byte(sum)] = s
			break
		}
	}
	return out
}

func diagnoseGitHub(k Keys, r *Request) Diagnosis {
	const form = "sha256= and the hex of the 32 bytes, in lower case"
	text, err := single(r.Header, headerHub)
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: keepHeaders}
	}
	bare, prefixed := strings.CutPrefix(text, "sha256=")
	given := hexSignatures([]string{bare}, form)
	if !prefixed {
		for sum, s := range given {
			given[sum] = slip{mistake: joined("the signature is not prefixed with sha256=", s.mistake), remedy: "write " + form}
		}
	}
	const remedy = "sign the body alone"
	heads := []slip{{}}
	if s, err := readSigned(r.Header); err == nil || s.timestamp != "" {
		heads = append(heads,
			slip{"the webhook-id and the time were signed with the body, as Standard Webhooks does", remedy, standardHead(nil, s.id, s.timestamp)},
			slip{"the time was signed with the body, as Stripe does", remedy, []byte(s.timestamp + ".")})
	}
	bodies := bodySlips(r.Body)
	for _, secret := range k.Secrets {
		if d, ok := given.search(textSlips(secret), heads, bodies); ok {
			return d
		}
	}
	return suspect("x-hub-signature-256 is 32 bytes", len(given), r.Body)
}

func diagnoseStripe(k Keys, r *Request) Diagnosis {
	const form = "t=SECONDS,v1=HEX, in lower case"
	s, err := readStripe(r.Header)
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: "write " + form + ", where t is the time that was signed; keep the header exactly as it came"}
	}
	given := hexSignatures(s.signatures, form)
	const remedy = "sign the number after t=, a dot, and the body"
	heads := []slip{
		{value: []byte(s.timestamp + ".")},
		{"only the body was signed", remedy, nil},
		{"the dot between the time and the body was left out", remedy, []byte(s.timestamp)},
		{"a comma was put between the time and the body", remedy, []byte(s.timestamp + ",")},
		{"a colon was put between the time and the body", remedy, []byte(s.timestamp + ":")},
		{"the time was signed in milliseconds", remedy, []byte(s.timestamp + "000.")},
		{"t= was signed along", remedy, []byte("t=" + s.timestamp + ".")},
	}
	if id := r.Header.Get(headerID); id != "" {
		heads = append(heads, slip{"the webhook-id was signed too, as Standard Webhooks does", remedy, standardHead(nil, id, s.timestamp)})
	}
	bodies := bodySlips(r.Body)
	for _, secret := range k.Secrets {
		if d, ok := given.search(textSlips(secret), heads, bodies); ok {
			return d
		}
		d, ok := shifted("t= of stripe-signature", s.time, func(ts string) bool {
			_, ok := given[digest(secret.text(), []byte(ts+"."), r.Body)]
			return ok
		})
		if ok {
			return d
		}
	}
	return suspect("stripe-signature is 32 bytes", len(given), r.Body)
}

// joined is a sentence of what is not empty.
func joined(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ", and ")
}

func diagnoseEd25519(k Keys, r *Request) Diagnosis {
	s, err := readSigned(r.Header)
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: keepHeaders}
	}
	const form = "v1a, and the standard base64 of the 64 bytes"
	var given []slip
	for _, e := range s.signatures {
		if text, ok := strings.CutPrefix(e, versionEd25519); ok {
			given = append(given, longSignature(text, form)...)
		}
	}
	heads, bodies := headSlips(s, r.Body), bodySlips(r.Body)
	for most := range 3 {
		for _, h := range heads {
			for _, b := range bodies {
				if count(h, b) != most {
					continue
				}
				message := bytes.Join([][]byte{h.value, b.value}, nil)
				for _, g := range given {
					if k.verifies(message, g.value) {
						return proved(h, b, g)
					}
				}
			}
		}
	}
	d, ok := shifted("webhook-timestamp", s.time, func(ts string) bool {
		message := append(standardHead(nil, s.id, ts), r.Body...)
		for _, g := range given {
			if k.verifies(message, g.value) {
				return true
			}
		}
		return false
	})
	if ok {
		return d
	}
	return suspect("webhook-signature is v1a with 64 bytes", len(given), r.Body)
}

// verifies reports whether one of the public keys made a signature.
func (k Keys) verifies(message, signature []byte) bool {
	for _, p := range k.Public {
		if p.verifies(message, signature) {
			return true
		}
	}
	return false
}

// longSignature reads a signature of 64 bytes in the spellings that occur.
func longSignature(text, form string) []slip {
	for _, as := range []struct {
		mistake string
		decode  func(string) ([]byte, error)
	}{
		{"", base64.StdEncoding.Strict().DecodeString},
		{"the signature is written in hex", hex.DecodeString},
		{"the signature's base64 lacks its padding", base64.RawStdEncoding.DecodeString},
		{"the signature is URL-safe base64", base64.URLEncoding.DecodeString},
		{"the signature is URL-safe base64 without padding", base64.RawURLEncoding.DecodeString},
	} {
		if sig, err := as.decode(text); err == nil && len(sig) == 64 {
			return []slip{{as.mistake, "write " + form, sig}}
		}
	}
	return nil
}
