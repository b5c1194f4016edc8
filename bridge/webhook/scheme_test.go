package webhook

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The key of the example in Standard Webhooks' libraries, and its halves.
const (
	vectorPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	vectorSeed    = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="
	vectorPublic  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	vectorV1a     = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func mustPrivate(t testing.TB, s string) PrivateKey {
	t.Helper()
	k, err := ParsePrivateKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestV1aMatchesTheVector(t *testing.T) {
	v := vectors(t)[0]
	for _, text := range []string{vectorPrivate, vectorSeed} {
		key := mustPrivate(t, text)
		got := string(appendSignatureV1a(nil, key.bytes(), v.ID, "1614265330", []byte(v.Body)))
		if got != vectorV1a {
			t.Errorf("signature %s, want %s", got, vectorV1a)
		}
		if key.Public().String() != vectorPublic || key.Reveal() != vectorPrivate {
			t.Errorf("halves %s and (private, %t)", key.Public(), key.Reveal() == vectorPrivate)
		}
	}
}

// The example of GitHub's documentation.
func TestGitHubMatchesTheVector(t *testing.T) {
	secret, err := TextSecret("It's a Secret to Everybody")
	if err != nil {
		t.Fatal(err)
	}
	const want = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	if got := hubSignature(secret, []byte("Hello, World!")); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// everyScheme is an endpoint that signs in all ways, with two secrets and a key.
func everyScheme(o *Options) {
	o.Sign = Schemes()
	o.Secrets = []Secret{NewSecret(), NewSecret()}
	o.Keys = []PrivateKey{NewPrivateKey()}
}

// request is a captured request as a receiver would verify it.
func (c captured) request() Request {
	return Request{Method: c.method, URL: "http://" + c.host + c.target, Header: c.header, Body: c.body}
}

func TestEverySchemeIsThereAtOnceAndVerifies(t *testing.T) {
	url, requests := capture(t)
	var o Options
	s := newTestSender(t, url, func(to *Options) { everyScheme(to); o = *to })
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	c := <-requests
	for i, k := range []Keys{{Secrets: o.Secrets[:1], Public: []PublicKey{o.Keys[0].Public()}}, {Secrets: o.Secrets[1:]}} {
		found, err := Verify(k, c.request(), VerifyOptions{})
		if err != nil || len(found) != len(Schemes()) {
			t.Fatalf("%v, %+v", err, found)
		}
		for _, f := range found {
			// GitHub's header has room for one signature; and one receiver has no public key.
			want := i == 0 || f.Scheme != GitHub && f.Scheme != Ed25519
			if (f.Err == nil) != want {
				t.Errorf("receiver %d: %s: %v", i, f.Scheme, f.Err)
			}
		}
	}
	if got := c.header.Get("X-GitHub-Delivery"); got != "evt_1" {
		t.Errorf("X-GitHub-Delivery is %q", got)
	}
	// Of the schemes of RFC 9421 one key is enough.
	for _, k := range []Keys{{Public: []PublicKey{o.Keys[0].Public()}}, {Secrets: o.Secrets[1:]}} {
		if _, err := Verify(k, c.request(), VerifyOptions{Schemes: []Scheme{RFC9421}}); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyTheSchemesThatAreNamedAreSent(t *testing.T) {
	url, requests := capture(t)
	headers := map[Scheme][]string{
		Standard: {"Webhook-Signature"}, Ed25519: {"Webhook-Signature"}, Stripe: {"Stripe-Signature"},
		GitHub: {"X-Hub-Signature-256", "X-Github-Delivery"}, RFC9421: {"Content-Digest", "Signature-Input", "Signature"},
	}
	for _, scheme := range Schemes() {
		s := newTestSender(t, url, func(o *Options) { everyScheme(o); o.Sign = []Scheme{scheme} })
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Fatal(r.Err)
		}
		c := <-requests
		for other, names := range headers {
			for _, name := range names {
				if _, there := c.header[name]; there != slices.Contains(headers[scheme], name) {
					t.Errorf("signed by %s: %s of %s: %t", scheme, name, other, there)
				}
			}
		}
		if c.header.Get("Webhook-Id") != "evt_1" || c.header.Get("Webhook-Timestamp") == "" {
			t.Errorf("signed by %s: no id or no time", scheme)
		}
	}
}

func TestSignsByWhatThereIsWhenNoSchemeIsNamed(t *testing.T) {
	f := func(o Options, want ...Scheme) {
		t.Helper()
		g, err := newSigning(&o)
		if err != nil || !slices.Equal(g.schemes, want) {
			t.Errorf("%v (%v), want %v", g, err, want)
		}
	}
	secrets, keys := []Secret{NewSecret()}, []PrivateKey{NewPrivateKey()}
	f(Options{Secrets: secrets}, Standard)
	f(Options{Keys: keys}, Ed25519)
	f(Options{Secrets: secrets, Keys: keys}, Standard, Ed25519)
	f(Options{Unsigned: true})
	f(Options{Unsigned: true, Secrets: secrets}, Standard)
}

func TestASchemeWithoutItsKeyIsRefused(t *testing.T) {
	text, err := TextSecret("made by another program")
	if err != nil {
		t.Fatal(err)
	}
	f := func(o Options, want string) {
		t.Helper()
		if _, err := newSigning(&o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	secrets, keys := []Secret{NewSecret()}, []PrivateKey{NewPrivateKey()}
	f(Options{}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{Standard}, Keys: keys}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{GitHub}, Keys: keys}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{Stripe}, Keys: keys}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{Standard}, Secrets: []Secret{text}}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{RFC9421}, Secrets: []Secret{text}}, "signs with a secret, and there is none")
	f(Options{Sign: []Scheme{Ed25519}, Secrets: secrets}, "signs with a private key, and there is none")
	f(Options{Sign: []Scheme{"hmac"}, Secrets: secrets}, "no way to sign")
	f(Options{Keys: []PrivateKey{{}}}, "missing")
	f(Options{Unsigned: true, Sign: []Scheme{GitHub}}, "signs with a secret, and there is none")
	for _, s := range []Scheme{GitHub, Stripe} {
		if _, err := newSigning(&Options{Sign: []Scheme{s}, Secrets: []Secret{text}}); err != nil {
			t.Error(err)
		}
	}
}

// A secret signs up to its last moment, and not a nanosecond longer.
func TestASecretSignsUntilItExpires(t *testing.T) {
	end := time.Unix(1614265330, 500)
	old, fresh := NewSecret(), NewSecret()
	oldKey, freshKey := NewPrivateKey(), NewPrivateKey()
	url, requests := capture(t)
	s := newTestSender(t, url, func(o *Options) {
		o.Sign = Schemes()
		o.Secrets, o.Keys = []Secret{old.Until(end), fresh}, []PrivateKey{oldKey.Until(end), freshKey}
	})
	for _, at := range []struct {
		now    time.Time
		expect bool
	}{{end.Add(-time.Hour), true}, {end, true}, {end.Add(1), false}, {end.Add(time.Hour), false}} {
		if r := s.send(t.Context(), message(), at.now); r.Verdict != Accepted {
			t.Fatal(r.Err)
		}
		r := (<-requests).request()
		for _, k := range []struct {
			keys   Keys
			expect bool
		}{
			{Keys{[]Secret{old}, []PublicKey{oldKey.Public()}}, at.expect},
			{Keys{[]Secret{fresh}, []PublicKey{freshKey.Public()}}, true},
		} {
			found, _ := Verify(k.keys, r, VerifyOptions{Now: at.now})
			for _, f := range found {
				want := k.expect
				if f.Scheme == GitHub { // the first that lives
					want = k.keys.Secrets[0].Equal(old) == at.expect
				}
				if (f.Err == nil) != want {
					t.Errorf("%s: %s: %v, want verified %t", at.now, f.Scheme, f.Err, want)
				}
			}
		}
	}
}

func TestNothingIsSentWithLessThanEverySignature(t *testing.T) {
	url, requests := capture(t)
	end := time.Unix(1614265330, 0)
	for _, scheme := range Schemes() {
		s := newTestSender(t, url, func(o *Options) {
			o.Sign = []Scheme{scheme}
			o.Secrets, o.Keys = []Secret{NewSecret().Until(end)}, []PrivateKey{NewPrivateKey().Until(end)}
		})
		r := s.send(t.Context(), message(), end.Add(time.Second))
		wantErr(t, r, "nothing was sent", "expired")
		if r.Verdict != Retry {
			t.Errorf("%s: %s: it could be sent once there is a new secret", scheme, r.Verdict)
		}
	}
	if len(requests) > 0 {
		t.Error("something was sent")
	}
}

func TestAMessageCannotSetASignature(t *testing.T) {
	url, requests := capture(t)
	s := newTestSender(t, url, nil)
	for _, name := range []string{"X-Hub-Signature-256", "X-Github-Delivery", "Stripe-Signature", "Content-Digest", "Signature-Input", "Signature"} {
		m := message()
		m.Header = http.Header{name: {"x"}}
		wantErr(t, s.Send(t.Context(), m), "not a message's to set")
	}
	if len(requests) > 0 {
		t.Error("something was sent")
	}
}

// The URL that is signed is the one a receiver puts together of what it sees.
func TestTheSignedURLIsTheOneThatArrives(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		u := parse(t, raw)
		if got := targetURI(u); got != want {
			t.Errorf("%s is signed as %s, want %s", raw, got, want)
		}
	}
	f("https://Example.com:443", "https://example.com/")
	f("https://example.com:8443/a%2Fb?x=1&y=%20", "https://example.com:8443/a%2Fb?x=1&y=%20")
	f("http://example.com:80/?", "http://example.com/?")
	f("http://[::1]:80/a", "http://[::1]/a")
	f("http://example.com:443/", "http://example.com:443/")

	at, requests := capture(t)
	secret := NewSecret()
	s := newTestSender(t, at, func(o *Options) { o.Sign, o.Secrets = []Scheme{RFC9421}, []Secret{secret} })
	u := parse(t, at)
	u.Path, u.RawQuery = "/tickets/35", "by=alias"
	m := message()
	m.Method, m.URL, m.ContentType = http.MethodPut, u, "text/plain; charset=utf-8"
	if r := s.Send(t.Context(), m); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	if _, err := Verify(Keys{Secrets: []Secret{secret}}, (<-requests).request(), VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestVerifyAsksForWhatIsWanted(t *testing.T) {
	url, requests := capture(t)
	secret := NewSecret()
	s := newTestSender(t, url, func(o *Options) { o.Sign, o.Secrets = []Scheme{Standard, GitHub}, []Secret{secret} })
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	c := (<-requests).request()
	keys := Keys{Secrets: []Secret{secret}}
	f := func(k Keys, o VerifyOptions, want error) {
		t.Helper()
		if _, err := Verify(k, c, o); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(keys, VerifyOptions{}, nil)
	f(keys, VerifyOptions{Schemes: []Scheme{Standard, GitHub}}, nil)
	f(keys, VerifyOptions{Schemes: []Scheme{Stripe}}, ErrHeader)
	f(keys, VerifyOptions{Schemes: []Scheme{Standard, RFC9421}}, ErrHeader)
	f(Keys{}, VerifyOptions{}, ErrNoSecret)
	f(keys, VerifyOptions{Schemes: []Scheme{Ed25519}}, ErrNoSecret)
	c.Header.Set("X-Hub-Signature-256", "sha256=0")
	f(keys, VerifyOptions{}, nil)
	f(keys, VerifyOptions{Schemes: []Scheme{GitHub}}, ErrSignature)
	c.Header.Set("Webhook-Signature", "v1,x")
	f(keys, VerifyOptions{}, ErrSignature)
}

func TestKeysNameTheMistake(t *testing.T) {
	private := func(text string) error { k, err := ParsePrivateKey(text); return onlyErr(t, k.IsZero(), err) }
	public := func(text string) error { k, err := ParsePublicKey(text); return onlyErr(t, k.IsZero(), err) }
	secret := func(text string) error { s, err := TextSecret(text); return onlyErr(t, s.IsZero(), err) }
	f := func(parse func(string) error, text, want string) {
		t.Helper()
		if err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[14:18]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	f(private, "", "is empty")
	f(private, vectorSecret, "is a shared secret")
	f(private, vectorPublic, "cannot sign")
	f(private, vectorPrivate+"\n", "not standard base64")
	f(private, "whsk_aGVsbG8=", "5 bytes")
	f(private, strings.Replace(vectorPrivate, "VKIDij", "VKIDik", 1), "damaged")
	f(private, "-----BEGIN PRIVATE KEY-----", "is PEM")
	f(private, "hunter2hunter2hunter2hunter2", "must start with whsk_")
	f(public, vectorPrivate, "only the sender may have")
	f(public, "whpk_aGVsbG8=", "5 bytes")
	f(public, vectorPublic[5:], "must start with whpk_")
	f(secret, "short", "at least 16")
	f(secret, " a padded secret text", "white space")
	f(secret, "two lines of text\nare none", "one line")
	f(secret, vectorPrivate, "ed25519")
	f(secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!", "not base64")
}

func onlyErr(t *testing.T, zero bool, err error) error {
	t.Helper()
	if !zero && err != nil {
		t.Error("a key beside an error")
	}
	return err
}

func secondsOf(ts string) time.Time {
	sec, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// A proxy may sign what it passes on, in ways of its own.
func TestSignaturesOfOthersDoNotHideOurs(t *testing.T) {
	secret, key := NewSecret(), NewPrivateKey()
	keys := Keys{Secrets: []Secret{secret}}
	good := signedRequest(t, secret, key, "https://alerts.example.com/hook")
	f := func(input, signature string, want error) {
		t.Helper()
		r := good
		r.Header = good.Header.Clone()
		r.Header.Set("Signature-Input", input)
		r.Header.Set("Signature", signature)
		_, err := Verify(keys, r, VerifyOptions{Now: secondsOf("1614265330"), Schemes: []Scheme{RFC9421}})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", input, err, want)
		}
	}
	input, signature := good.Header.Get("Signature-Input"), good.Header.Get("Signature")
	for _, theirs := range []string{
		`proxy=("@authority";req "x-trace");created=1614265330`, `proxy=("@status");created=1`,
		strings.Replace(signatureParams("1614265330", "p", "rsa-v1_5-sha256"), `("@method"`, `proxy=("@method" "via"`, 1),
	} {
		f(theirs+", "+input, "proxy=:AAAA:, "+signature, nil)
		f(input+", "+theirs, signature+", proxy=:AAAA:", nil)
		f(theirs, "proxy=:AAAA:", ErrHeader)
	}
	f(input+`, proxy=("@method");created=1`, signature, nil) // without its signature
	f(input+", "+input, signature, ErrHeader)                // each twice: which one counts?
}

// Whatever is signed, no byte of it can change, nor one of the signature.
func TestEveryMutatedByteFailsInEveryScheme(t *testing.T) {
	secret, key := mustSecret(t, vectorSecret), mustPrivate(t, vectorSeed)
	keys := Keys{Secrets: []Secret{secret}, Public: []PublicKey{key.Public()}}
	good := signedRequest(t, secret, key, "https://alerts.example.com/hook?token=1")
	standard := []string{"Webhook-Id", "Webhook-Timestamp"}
	for scheme, signed := range map[Scheme][]string{
		Standard: standard, Ed25519: standard, GitHub: {"X-Hub-Signature-256"}, Stripe: {"Stripe-Signature"},
		RFC9421: {"Content-Type", "Content-Digest", "Webhook-Id", "Signature-Input", "Signature"},
	} {
		r := good
		check := func(what, value string) {
			t.Helper()
			_, err := Verify(keys, r, VerifyOptions{Now: secondsOf("1614265330"), Tolerance: 1 << 62, Schemes: []Scheme{scheme}})
			if err == nil {
				t.Errorf("%s verifies with the %s %q", scheme, what, value)
			}
		}
		only := func(name, value string) { // of several signatures one must not stand in for another
			if scheme == RFC9421 {
				value, _, _ = strings.Cut(value, ", ")
			}
			r.Header = good.Header.Clone()
			r.Header.Set(name, value)
		}
		for _, name := range signed {
			first := good.Header.Get(name)
			if scheme == RFC9421 {
				first, _, _ = strings.Cut(first, ", ")
			}
			mutate(first, func(s string) {
				r.Header = good.Header.Clone()
				for _, n := range []string{"Signature-Input", "Signature"} {
					if scheme == RFC9421 {
						only(n, good.Header.Get(n))
					}
				}
				r.Header.Set(name, s)
				check(name, s)
			})
		}
		for _, entry := range strings.Split(good.Header.Get("Webhook-Signature"), " ") {
			if v1a := strings.HasPrefix(entry, versionEd25519); scheme == Standard && !v1a || scheme == Ed25519 && v1a {
				mutate(entry, func(s string) { only("Webhook-Signature", s); check("signature", s) })
			}
		}
		r = good
		mutate(string(good.Body), func(s string) { r.Body = []byte(s); check("body", s) })
		r = good
		if scheme == RFC9421 {
			mutate(good.URL, func(s string) { r.URL = s; check("URL", s) })
			r = good
			mutate(good.Method, func(s string) { r.Method = s; check("method", s) })
		}
	}
}

// mutate calls f with s after each change of a bit, and each byte taken out or put in.
func mutate(s string, f func(string)) {
	for i := range len(s) {
		for bit := range 8 {
			b := []byte(s)
			b[i] ^= 1 << bit
			f(string(b))
		}
		f(s[:i] + s[i+1:])
		f(s[:i] + "0" + s[i:])
	}
	f(s + "0")
}
