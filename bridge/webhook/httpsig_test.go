package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The examples of RFC 9421, appendices B.2.5 and B.2.6, down to their signatures.
func TestSignatureBaseIsThatOfTheRFC(t *testing.T) {
	values := map[string]string{
		"date": "Tue, 20 Apr 2021 02:07:55 GMT", "@method": "POST", "@path": "/foo", "@authority": "example.com",
		"content-type": "application/json", "content-length": "18",
	}
	decode := func(s string) []byte {
		t.Helper()
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	base := func(params string) []byte {
		t.Helper()
		components, _, err := signatureInput(params)
		if err != nil {
			t.Fatal(err)
		}
		b, err := signatureBase(components, func(name string) (string, error) {
			v, ok := values[name]
			if !ok {
				return "", errors.New(name)
			}
			return v, nil
		}, params)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	hmacKey := decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
	got := mac(nil, hmacKey, base(`("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`), nil)
	if want := "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="; encode64(got) != want {
		t.Errorf("hmac-sha256: %s, want %s", encode64(got), want)
	}
	seed, err := base64.RawURLEncoding.DecodeString("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
	if err != nil {
		t.Fatal(err)
	}
	key := privateOf(ed25519.NewKeyFromSeed(seed))
	if key.Public().x() != "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs" {
		t.Errorf("the public key is %s", key.Public().x())
	}
	got = signEd25519(key, base(`("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`))
	if want := "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="; encode64(got) != want {
		t.Errorf("ed25519: %s, want %s", encode64(got), want)
	}
}

// The example of RFC 8037, appendix A.3.
func TestKeysAreNamedByTheirThumbprint(t *testing.T) {
	x, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	k := PublicKey{[ed25519.PublicKeySize]byte(x)}
	if want := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; k.ID() != want {
		t.Errorf("named %s, want %s", k.ID(), want)
	}
}

func TestPrivateKeyNeverPrints(t *testing.T) {
	k := mustPrivate(t, vectorPrivate)
	type config struct {
		Exported PrivateKey
		hidden   PrivateKey
		list     []*PrivateKey
	}
	c := config{k, k, []*PrivateKey{&k}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{k, &k, c, &c, c.hidden, c.list, map[string]PrivateKey{"k": k}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "config", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "config", c)
	raw := []byte(k.bytes())
	for _, leak := range []string{vectorPrivate[6:12], string(raw[:6]), fmt.Sprintf("%x", raw[:6]), fmt.Sprintf("%X", raw[:6]), strings.Trim(fmt.Sprint(raw[:6]), "[]")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output contains %q", leak)
		}
	}
	if !strings.Contains(out.String(), "<secret>") {
		t.Error("nothing was printed")
	}
}
