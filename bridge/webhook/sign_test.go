package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type vector struct {
	Name, Secret, ID, Body, Signature string
	Timestamp                         int64
	Wrong                             map[string]string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v []vector
	if err := json.Unmarshal(data, &v); err != nil || len(v) == 0 {
		t.Fatalf("vectors: %v", err)
	}
	return v
}

func headers(id string, ts int64, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(ts, 10))
	h.Set("webhook-signature", signature)
	return h
}

func TestSignatureMatchesTheVectors(t *testing.T) {
	for _, v := range vectors(t) {
		secret := mustSecret(t, v.Secret)
		got := Sign(secret, v.ID, time.Unix(v.Timestamp, 0), []byte(v.Body))
		if got != v.Signature {
			t.Errorf("%s: signature %s, want %s", v.Name, got, v.Signature)
		}
		now := VerifyOptions{Now: time.Unix(v.Timestamp, 0)}
		if err := verifyStandard([]Secret{secret}, headers(v.ID, v.Timestamp, v.Signature), []byte(v.Body), now); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for mistake, wrong := range v.Wrong {
			if got == wrong {
				t.Errorf("%s: signed like one who made this mistake: %s", v.Name, mistake)
			}
			h := headers(v.ID, v.Timestamp, wrong)
			if err := verifyStandard([]Secret{secret}, h, []byte(v.Body), now); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: a wrong signature verifies: %v", v.Name, err)
			}
			if d := Diagnose(Keys{Secrets: []Secret{secret}}, Request{Header: h, Body: []byte(v.Body)}, Standard); d.Mistake != mistake || !d.Proved {
				t.Errorf("%s: diagnosed %+v, want %q", v.Name, d, mistake)
			}
		}
	}
}

func TestStandardWebhooksLibraryAgrees(t *testing.T) {
	for range 20 {
		secret := NewSecret()
		theirs, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		body := []byte(`{"unit":"°C","at":"` + now.String() + `"}`)
		ours := Sign(secret, "evt_1", now, body)
		if want, err := theirs.Sign("evt_1", now, body); err != nil || want != ours {
			t.Fatalf("their signature %s (%v), ours %s", want, err, ours)
		}
		if err := theirs.Verify(body, headers("evt_1", now.Unix(), ours)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryMutatedByteFails(t *testing.T) {
	secret := mustSecret(t, vectorSecret)
	v := vectors(t)[0]
	check := func(what string, h http.Header, body []byte, secret Secret) {
		t.Helper()
		if verifyStandard([]Secret{secret}, h, body, VerifyOptions{Now: time.Unix(v.Timestamp, 0), Tolerance: 1 << 62}) == nil {
			t.Errorf("verifies with %s changed", what)
		}
	}
	mutations := func(s string, f func(string)) {
		for i := range len(s) {
			for _, x := range []byte{1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff} {
				b := []byte(s)
				b[i] ^= x
				f(string(b))
			}
			f(s[:i] + s[i+1:])
			f(s[:i] + "\n" + s[i:])
			f(s[:i] + "0" + s[i:])
		}
		f(s + "\n")
		f("")
	}
	mutations(v.Body, func(s string) { check("body "+s, headers(v.ID, v.Timestamp, v.Signature), []byte(s), secret) })
	mutations(v.ID, func(s string) { check("id "+s, headers(s, v.Timestamp, v.Signature), []byte(v.Body), secret) })
	mutations(v.Signature, func(s string) {
		if strings.TrimSpace(s) == v.Signature || strings.Contains(s, " ") || s == v.Signature+"\n" {
			return
		}
		check("signature "+s, headers(v.ID, v.Timestamp, s), []byte(v.Body), secret)
	})
	mutations(strconv.FormatInt(v.Timestamp, 10), func(s string) {
		h := headers(v.ID, 0, v.Signature)
		h.Set("webhook-timestamp", s)
		check("timestamp "+s, h, []byte(v.Body), secret)
	})
	for i := range secret.bytes() {
		key := append([]byte(nil), secret.bytes()...)
		key[i] ^= 1
		check("key", headers(v.ID, v.Timestamp, v.Signature), []byte(v.Body), secretOf(key))
	}
}

func TestVerifyExplains(t *testing.T) {
	secret, other := mustSecret(t, vectorSecret), NewSecret()
	v := vectors(t)[0]
	good := headers(v.ID, v.Timestamp, v.Signature)
	at := time.Unix(v.Timestamp, 0)
	f := func(secrets []Secret, change func(http.Header), now time.Time, is error, want string) {
		t.Helper()
		h := good.Clone()
		change(h)
		err := verifyStandard(secrets, h, []byte(v.Body), VerifyOptions{Now: now})
		if !errors.Is(err, is) || is == nil != (err == nil) {
			t.Errorf("error %v, want %v", err, is)
		}
		if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	asIs := func(http.Header) {}
	set := func(k, v string) func(http.Header) { return func(h http.Header) { h.Set(k, v) } }
	one := []Secret{secret}

	f(one, asIs, at, nil, "")
	f(one, asIs, at.Add(5*time.Minute), nil, "")
	f(one, asIs, at.Add(-5*time.Minute), nil, "")
	f([]Secret{other, {}, secret}, asIs, at, nil, "")
	f(one, set("webhook-signature", "v1a,AAAA v1,AAAA= "+v.Signature), at, nil, "")
	f(one, func(h http.Header) { h.Add("webhook-signature", "v2,x") }, at, nil, "")

	f(nil, asIs, at, ErrNoSecret, "no secret")
	f([]Secret{{}}, asIs, at, ErrNoSecret, "no secret")
	f(one, asIs, at.Add(5*time.Minute+time.Second), ErrTooOld, "sent 5m1s ago")
	f(one, asIs, at.Add(-5*time.Minute-time.Second), ErrTooNew, "5m1s ahead")
	f([]Secret{other}, asIs, at, ErrSignature, "1 v1 signature(s) against 1 secret(s)")
	f(one, set("webhook-signature", "v1a,AAAA"), at, ErrSignature, "no v1 entry")
	f(one, func(h http.Header) { h.Del("webhook-id") }, at, ErrHeader, "webhook-id is missing")
	f(one, func(h http.Header) { h.Del("webhook-timestamp") }, at, ErrHeader, "webhook-timestamp is missing")
	f(one, func(h http.Header) { h.Del("webhook-signature") }, at, ErrHeader, "webhook-signature is missing")
	f(one, set("webhook-signature", "  "), at, ErrHeader, "webhook-signature is missing")
	f(one, set("webhook-signature", strings.Repeat("v1,AAAA ", 65)), at, ErrHeader, "more than 64")
	f(one, func(h http.Header) { h.Add("webhook-id", "x") }, at, ErrHeader, "2 times")
	f(one, set("webhook-timestamp", "2021-02-25T15:02:10Z"), at, ErrHeader, "not a whole number")
	f(one, set("webhook-timestamp", "+1614265330"), at, ErrHeader, "not a whole number")
	f(one, set("webhook-timestamp", "1614265330.0"), at, ErrHeader, "not a whole number")
}

func FuzzVerifyOnlyWhatWasSigned(f *testing.F) {
	f.Add("msg_1", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte("{}"))
	f.Add("", "-1", "v1, v1a,x  v1,=", []byte(nil))
	secret := mustSecret(f, vectorSecret)
	f.Fuzz(func(t *testing.T, id, ts, sig string, body []byte) {
		h := http.Header{headerID: {id}, headerTimestamp: {ts}, headerSignature: {sig}}
		got := verifyStandard([]Secret{secret}, h, body, VerifyOptions{Now: time.Unix(0, 0), Tolerance: 1 << 62})
		sec, err := strconv.ParseInt(ts, 10, 64)
		want := err == nil && id != "" && len(parseSignatures([]string{sig})) <= maxSignatures &&
			strings.Contains(" "+sig+" ", " "+Sign(secret, id, time.Unix(sec, 0), body)+" ")
		if got == nil && !want {
			t.Fatal("verifies, and was not signed")
		}
		// What was signed verifies, whatever stands beside it.
		if err == nil && id != "" && strconv.FormatInt(sec, 10) == ts && len(parseSignatures([]string{sig})) < maxSignatures-1 {
			h.Set(headerSignature, sig+" "+Sign(secret, id, time.Unix(sec, 0), body))
			if err := verifyStandard([]Secret{secret}, h, body, VerifyOptions{Now: time.Unix(sec, 0)}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
