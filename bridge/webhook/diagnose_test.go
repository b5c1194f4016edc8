package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDiagnoseFindsTheMistake(t *testing.T) {
	secret := mustSecret(t, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD/wz2Qf6QNT8=")
	text := secret.Reveal()
	const id, ts = "evt_1", int64(1614265330)
	body := `{"type":"alarm.fired","data":{"id":"evt_0","url":"a/b","because":"9 °C, \"warm\"","n":1.50}}`
	sum := func(key, content string) []byte {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(content))
		return h.Sum(nil)
	}
	key := string(secret.bytes())
	const head = "evt_1.1614265330."
	f := func(want string, signature string, got string) {
		t.Helper()
		d := Diagnose(Keys{Secrets: []Secret{NewSecret(), {}, secret}}, Request{Header: headers(id, ts, signature), Body: []byte(got)}, Standard)
		if !strings.Contains(d.Mistake, want) || !d.Proved || d.Remedy == "" {
			t.Errorf("diagnosed %+v, want %q", d, want)
		}
	}
	sign := func(key, content string) string {
		return "v1," + base64.StdEncoding.EncodeToString(sum(key, content))
	}
	right := sum(key, head+body)
	good := sign(key, head+body)

	f("nothing", good, body)
	// the key
	f("whsec_ included", sign(text, head+body), body)
	f("undecoded", sign(text[6:], head+body), body)
	f("whole text", sign(text, head+body), body)
	f("with a line end", sign(text+"\n", head+body), body)
	f("with a line end", sign(text[6:]+"\n", head+body), body)
	f("together with the rest", sign(nodeBase64(text), head+body), body)
	// what was signed
	f("only the body", sign(key, body), body)
	f("id was left out", sign(key, "1614265330."+body), body)
	f("timestamp was left out", sign(key, "evt_1."+body), body)
	f("dots", sign(key, "evt_11614265330"+body), body)
	f("before the id", sign(key, "1614265330.evt_1."+body), body)
	f("milliseconds", sign(key, "evt_1.1614265330000."+body), body)
	f("id in the body", sign(key, "evt_0.1614265330."+body), body)
	f("which is 1614265331", sign(key, "evt_1.1614265331."+body), body)
	// the body
	f("line end at its end that was not signed", good, body+"\n")
	f("line end at its end that was not signed", good, body+"\r\n")
	f("lost the line end", sign(key, head+body+"\n"), body)
	f("lost the line end", sign(key, head+body+"\r\n"), body)
	f("into CRLF", sign(key, head+"a\nb"), "a\r\nb")
	f("into LF", sign(key, head+"a\r\nb"), "a\nb")
	f("white space around", good, "  "+body+"\n\n")
	f("byte order mark", good, "\ufeff"+body)
	f("lost its byte order mark", sign(key, head+"\ufeff"+body), body)
	f("empty body was signed", sign(key, head), body)
	f("Latin-1 and written as UTF-8", good, latin1AsUTF8(body))
	f("from UTF-8 into Latin-1", sign(key, head+"°"), "\xb0")
	f("parsed and written again", good, pretty(t, body))
	f("parsed and written again", sign(key, head+`{"a":1,"b":[2]}`), `{"a": 1, "b": [2]}`)
	f("parsed and written again", sign(key, head+pretty(t, body)), body)
	f("parsed and written again", sign(key, head+strings.ReplaceAll(body, "°", `\u00b0`)), body)
	f("parsed and written again", sign(key, head+strings.ReplaceAll(body, "/", `\/`)), body)
	f("parsed and written again", sign(key, head+`{"a": "x:\",y", "b": [1, 2]}`), `{"a":"x:\",y","b":[1,2]}`)
	f("parsed and written again", sign(key, head+`{"a":1,"b":"<"}`), `{"b":"<","a":1}`)
	f("parsed and written again", sign(key, head+`{"a":"\ud83d\ude00"}`), `{"a":"😀"}`)
	// how it is written
	f("hex", "v1,"+hex.EncodeToString(right), body)
	f("hex", "v1="+hex.EncodeToString(right), body)
	f("hex", "sha256="+hex.EncodeToString(right), body)
	f("not prefixed", base64.StdEncoding.EncodeToString(right), body)
	f("padding", "v1,"+base64.RawStdEncoding.EncodeToString(right), body)
	f("URL-safe", "v1,"+urlSafe(t, key, &body, head), body)
	f("base64 of hex", "v1,"+base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(right))), body)
	// pairs
	f("whsec_ included, was used as the key, and the body has a line end", sign(text, head+body), body+"\n")
	f("only the body was signed, and the signature is written in hex", "sha256="+hex.EncodeToString(sum(key, body)), body)
}

// urlSafe changes body until its signature differs between the two alphabets.
func urlSafe(t *testing.T, key string, body *string, head string) string {
	t.Helper()
	for range 1000 {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(head + *body))
		sum := h.Sum(nil)
		if s := base64.URLEncoding.EncodeToString(sum); strings.ContainsAny(s, "-_") {
			return s
		}
		*body += "."
	}
	t.Fatal("no such body")
	return ""
}

func nodeBase64(s string) string {
	b, _ := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(s, "="), "_", "/"))
	return string(b)
}

func latin1AsUTF8(s string) string {
	var r []rune
	for _, c := range []byte(s) {
		r = append(r, rune(c))
	}
	return string(r)
}

func pretty(t *testing.T, s string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(s), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDiagnoseAdmitsWhatItDoesNotKnow(t *testing.T) {
	secret, other := NewSecret(), NewSecret()
	at := time.Unix(1614265330, 0)
	f := func(body, signature, want string) {
		t.Helper()
		d := Diagnose(Keys{Secrets: []Secret{secret}}, Request{Header: headers("evt_1", at.Unix(), signature), Body: []byte(body)}, Standard)
		if d.Proved || want == "" != (d.Mistake == "") || !strings.Contains(d.Mistake, want) {
			t.Errorf("diagnosed %+v, want %q, unproved", d, want)
		}
	}
	f(`{"a":1}`, Sign(other, "evt_1", at, []byte(`{"a":1}`)), "")
	f(`{"a": 1}`, Sign(other, "evt_1", at, []byte(`{"a": 1}`)), "white space")
	f(``, Sign(other, "evt_1", at, []byte(`{"a":1}`)), "body is empty")
	f(`{}`, "v1,g0hM9SsE", "cut short")
	if d := Diagnose(Keys{Secrets: []Secret{secret}}, Request{}, Standard); !strings.Contains(d.Mistake, "webhook-id is missing") || d.Proved {
		t.Errorf("diagnosed %+v", d)
	}
}

// Whatever arrives, a diagnosis comes to an end and claims a proof only of what
// does not verify, or says that nothing is wrong.
func FuzzDiagnose(f *testing.F) {
	f.Add("evt_1", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= sha256=00 v1a,x", []byte(`{"a": [1, "\u00e9\\\""]}`))
	f.Add("", "=,:", []byte("\ufeff\r\n\xff"))
	secret := mustSecret(f, vectorSecret)
	keys := Keys{Secrets: []Secret{secret}}
	at := time.Unix(1614265330, 0)
	f.Fuzz(func(t *testing.T, id, sig string, body []byte) {
		if d := Diagnose(keys, Request{Header: headers(id, at.Unix(), sig), Body: body}, Standard); d.Proved {
			t.Fatalf("proved, although nobody signed it: %+v", d)
		}
		if id == "" {
			return
		}
		d := Diagnose(keys, Request{Header: headers(id, at.Unix(), Sign(secret, id, at, body)), Body: append(body, '\n')}, Standard)
		if !d.Proved || d.Mistake == "" {
			t.Fatalf("diagnosed %+v", d)
		}
	})
}
