package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const diagnosed = `{"type":"alarm.fired","data":{"url":"a/b","because":"9 °C"}}`

// signedRequest is what our own sender makes of a message, by all schemes.
func signedRequest(t *testing.T, secret Secret, key PrivateKey, at string) Request {
	t.Helper()
	g, err := newSigning(&Options{Sign: Schemes(), Secrets: []Secret{secret}, Keys: []PrivateKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	m := toSign{id: "evt_1", ts: "1614265330", method: http.MethodPost, target: targetURI(u), body: []byte(diagnosed)}
	h := headers(m.id, 1614265330, "")
	sig, err := g.standard(&m, secondsOf(m.ts))
	if err != nil {
		t.Fatal(err)
	}
	h.Set("Webhook-Signature", sig)
	h.Set("Content-Type", "application/json")
	if err := g.other(h, &m, secondsOf(m.ts)); err != nil {
		t.Fatal(err)
	}
	return Request{Method: m.method, URL: m.target, Header: h, Body: m.body}
}

func TestDiagnoseKnowsTheMistakesOfEachScheme(t *testing.T) {
	secret, key := NewSecret(), NewPrivateKey()
	keys := Keys{Secrets: []Secret{NewSecret(), secret}, Public: []PublicKey{NewPrivateKey().Public(), key.Public()}}
	text := secret.Reveal()
	good := signedRequest(t, secret, key, "https://alerts.example.com/hook?token=1")
	f := func(s Scheme, want string, change func(*Request)) {
		t.Helper()
		r := good
		r.Header = good.Header.Clone()
		change(&r)
		d := Diagnose(keys, r, s)
		if !strings.Contains(d.Mistake, want) || !d.Proved || d.Remedy == "" {
			t.Errorf("%s: diagnosed %+v, want %q", s, d, want)
		}
		if found, _ := Verify(keys, r, VerifyOptions{Now: secondsOf("1614265330"), Schemes: []Scheme{s}}); want != "nothing" {
			for _, f := range found {
				if f.Scheme == s && f.Err == nil {
					t.Errorf("%s: verifies all the same: %s", s, want)
				}
			}
		}
	}
	set := func(name, value string) func(*Request) { return func(r *Request) { r.Header.Set(name, value) } }
	sum := func(key, content string) []byte { return mac(nil, []byte(key), []byte(content), nil) }

	hub := func(want, value string) { t.Helper(); f(GitHub, want, set("X-Hub-Signature-256", value)) }
	right := sum(text, diagnosed)
	f(GitHub, "nothing", func(*Request) {})
	hub("was decoded", "sha256="+hex.EncodeToString(sum(string(secret.bytes()), diagnosed)))
	hub("text after whsec_", "sha256="+hex.EncodeToString(sum(text[6:], diagnosed)))
	hub("line end", "sha256="+hex.EncodeToString(sum(text+"\n", diagnosed)))
	hub("upper case", "sha256="+strings.ToUpper(hex.EncodeToString(right)))
	hub("in base64", "sha256="+base64.StdEncoding.EncodeToString(right))
	hub("not prefixed", hex.EncodeToString(right))
	hub("as Standard Webhooks does", "sha256="+hex.EncodeToString(sum(text, "evt_1.1614265330."+diagnosed)))
	hub("as Stripe does", "sha256="+hex.EncodeToString(sum(text, "1614265330."+diagnosed)))
	f(GitHub, "parsed and written again", func(r *Request) { r.Body = []byte(pretty(t, diagnosed)) })

	stripe := func(want, key, content string) {
		t.Helper()
		f(Stripe, want, set("Stripe-Signature", "t=1614265330,v1="+hex.EncodeToString(sum(key, content))))
	}
	f(Stripe, "nothing", func(*Request) {})
	stripe("was decoded", string(secret.bytes()), "1614265330."+diagnosed)
	stripe("only the body", text, diagnosed)
	stripe("dot between", text, "1614265330"+diagnosed)
	stripe("a comma", text, "1614265330,"+diagnosed)
	stripe("a colon", text, "1614265330:"+diagnosed)
	stripe("milliseconds", text, "1614265330000."+diagnosed)
	stripe("t= was signed along", text, "t=1614265330."+diagnosed)
	stripe("webhook-id was signed too", text, "evt_1.1614265330."+diagnosed)
	stripe("which is 1614265333", text, "1614265333."+diagnosed)
	f(Stripe, "upper case", set("Stripe-Signature", "t=1614265330,v1="+strings.ToUpper(hex.EncodeToString(sum(text, "1614265330."+diagnosed)))))
	f(Stripe, "line end", func(r *Request) { r.Body = []byte(diagnosed + "\n") })

	v1a := func(want, content string, encode func([]byte) string) {
		t.Helper()
		f(Ed25519, want, set("Webhook-Signature", "v1a,"+encode(ed25519.Sign(key.bytes(), []byte(content)))))
	}
	f(Ed25519, "nothing", func(*Request) {})
	v1a("only the body", diagnosed, encode64)
	v1a("id was left out", "1614265330."+diagnosed, encode64)
	v1a("which is 1614265300", "evt_1.1614265300."+diagnosed, encode64)
	v1a("in hex", "evt_1.1614265330."+diagnosed, func(b []byte) string { return hex.EncodeToString(b) })
	f(Ed25519, "parsed and written again", func(r *Request) { r.Body = []byte(pretty(t, diagnosed)) })

	u := func(want, to string) { t.Helper(); f(RFC9421, want, func(r *Request) { r.URL = to }) }
	f(RFC9421, "nothing", func(*Request) {})
	u("begins with https", "http://alerts.example.com/hook?token=1")
	f(RFC9421, "begins with https", func(r *Request) {
		r.URL = "http://10.0.0.7:8080/hook?token=1"
		r.Header.Set("X-Forwarded-Host", "alerts.example.com")
	})
	f(RFC9421, "content-type that was signed is application/json", set("Content-Type", "application/json; charset=utf-8"))
	f(RFC9421, "parsed and written again", func(r *Request) { r.Body = []byte(pretty(t, diagnosed)) })
	f(RFC9421, "not the one that content-digest was made of", func(r *Request) { r.Body = []byte(`{}`) })
	f(RFC9421, "whsec_ included", func(r *Request) {
		params := signatureParams("1614265330", "k", algHMAC)
		base, err := signatureBase(covered(), r.component, params)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Signature-Input", "a="+params)
		r.Header.Set("Signature", "a=:"+encode64(sum(text, string(base)))+":")
	})
}

func TestDiagnoseNamesWhatIsMalformed(t *testing.T) {
	secret, key := NewSecret(), NewPrivateKey()
	keys := Keys{Secrets: []Secret{secret}, Public: []PublicKey{key.Public()}}
	f := func(s Scheme, name, value, want string) {
		t.Helper()
		r := signedRequest(t, secret, key, "https://alerts.example.com/hook")
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
		if d := Diagnose(keys, r, s); d.Proved || !strings.Contains(d.Mistake, want) || d.Remedy == "" {
			t.Errorf("%s: %s: %s: diagnosed %+v, want %q", s, name, value, d, want)
		}
	}
	hash := strings.Repeat("0", 64)
	f(GitHub, "X-Hub-Signature-256", "", "is missing")
	f(GitHub, "X-Hub-Signature-256", "sha256=00", "cut short")
	f(Stripe, "Stripe-Signature", "v1="+hash, "has no t=")
	f(Stripe, "Stripe-Signature", "t=1614265330", "has no v1=")
	f(Stripe, "Stripe-Signature", "t=yesterday,v1="+hash, "not a whole number")
	f(Stripe, "Stripe-Signature", "t=1614265330,v1=00", "cut short")
	f(Ed25519, "Webhook-Signature", "v1a,AAAA", "cut short")
	f(Ed25519, "Webhook-Id", "", "webhook-id is missing")
	f(RFC9421, "Signature-Input", "", "signature-input is missing")
	f(RFC9421, "Signature", "", `has no "sig1"`)
	f(RFC9421, "Signature", "sig1=AAAA, sig2=BBBB", "not base64 between colons")
	f(RFC9421, "Signature-Input", `sig1=("@method");created=1`, "does not cover @target-uri")
}

// A text that shifts by one reading is one that signs: whatever arrives, nothing
// is proved of what nobody signed, and nothing panics.
func FuzzDiagnoseOfEachScheme(f *testing.F) {
	f.Add("sha256=00", "t=1,v1=00", `sig1=("@method" "@target-uri" "content-type" "content-digest" "webhook-id");created=1614265330;keyid="a"`, "sig1=:AAAA:", "sha-256=:AAAA:", []byte("{}"))
	f.Add("", ",=", `a=("x";b);c="\"";d`, "a=:", `a="`, []byte(nil))
	keys := Keys{Secrets: []Secret{mustSecret(f, vectorSecret)}, Public: []PublicKey{mustPrivate(f, vectorSeed).Public()}}
	f.Fuzz(func(t *testing.T, hub, stripe, input, signature, digest string, body []byte) {
		h := headers("evt_1", 1614265330, "v1a,"+signature)
		h["X-Hub-Signature-256"], h["Stripe-Signature"] = []string{hub}, []string{stripe}
		h["Signature-Input"], h["Signature"], h["Content-Digest"] = []string{input}, []string{signature}, []string{digest}
		h.Set("Content-Type", "application/json")
		r := Request{URL: "https://alerts.example.com/hook", Header: h, Body: body}
		for _, s := range Schemes() {
			if d := Diagnose(keys, r, s); d.Proved {
				t.Errorf("%s: proved, although nobody signed it: %+v", s, d)
			}
		}
		if _, err := Verify(keys, r, VerifyOptions{}); err == nil {
			t.Error("verifies, and nobody signed it")
		}
	})
}
