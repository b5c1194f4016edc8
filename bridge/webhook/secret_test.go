package webhook

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretNeverPrints(t *testing.T) {
	s := mustSecret(t, vectorSecret)
	type config struct {
		Exported Secret
		hidden   Secret
		nested   map[string]*Secret
	}
	c := config{s, s, map[string]*Secret{"a": &s}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%10.3s", "%!"} {
		for _, v := range []any{s, &s, c, &c, []Secret{s}, map[string]Secret{"k": s}, [1]Secret{s}, fmt.Errorf("%v", s), c.hidden, c.nested} {
			fmt.Fprintf(&out, verb+"\n", v) //nolint:all // every verb, fitting or not
		}
	}
	fmt.Fprintln(&out, s, &s, c)
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "secret", s, "ptr", &s, "config", c, "list", []Secret{s})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "ptr", &s, "config", c, "list", []Secret{s})
	j, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": c, "d": map[string]Secret{"e": s}})
	if err != nil {
		t.Fatal(err)
	}
	type named struct{ S Secret }
	x, err := xml.Marshal(named{s})
	if err != nil {
		t.Fatal(err)
	}
	text := out.String() + string(j) + string(x)
	key := s.bytes()
	for _, leak := range []string{
		vectorSecret[6:12], string(key[:6]), fmt.Sprintf("%x", key[:6]), fmt.Sprintf("%X", key[:6]),
		strings.Trim(fmt.Sprint(key[:6]), "[]"), strings.Trim(strings.Join(strings.Fields(fmt.Sprintf("%#v", key[:6])), " "), "[]byte{}"),
	} {
		if strings.Contains(text, leak) {
			t.Errorf("output contains %q", leak)
		}
	}
	if got := fmt.Sprintf("%s %v %#v %+v %d", s, s, s, s, s); got != strings.TrimSpace(strings.Repeat("<secret> ", 5)) {
		t.Errorf("a secret prints as %q", got)
	}
	if string(j) == "" || !bytes.Contains(j, []byte(`"a":"\u003csecret\u003e"`)) {
		t.Errorf("JSON is %s", j)
	}
}

func TestParseSecretNamesTheMistake(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s, err := ParseSecret(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSecret: error %v, want one that says %q", err, want)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text[14:18]) {
			t.Errorf("the error shows the secret: %v", err)
		}
		if !s.IsZero() {
			t.Error("a secret beside an error")
		}
	}
	f("", "is empty")
	f(" \n", "is empty")
	f("hunter2hunter2hunter2hunter2", "must start with whsec_")
	f("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must start with whsec_")
	f("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "lower case")
	f(" "+vectorSecret, "white space before")
	f(`"`+vectorSecret+`"`, "quotes")
	f(vectorSecret+"\n", "line end")
	f(vectorSecret+" ", "white space")
	f("whsec_MfKQ9r8GKYqr\nTwjUPD8ILPZIo2LaLaSw", "white space inside")
	f("whsec_"+vectorSecret, "whsec_ twice")
	f("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=", "ed25519")
	f("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "ed25519")
	f("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "URL-safe")
	f("whsec_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4", "padding")
	f("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!", "not base64")
	f("whsec_", "0 bytes")
	f("whsec_aGVsbG8=", "5 bytes")
	f("whsec_"+strings.Repeat("AAAA", 22), "66 bytes")
}

func TestNewSecretIsFreshAndReadable(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a.Equal(b) || a.Reveal() == b.Reveal() {
		t.Fatal("two secrets are the same")
	}
	again, err := ParseSecret(a.Reveal())
	if err != nil || !again.Equal(a) {
		t.Fatalf("a new secret does not read back: %v", err)
	}
	if !(Secret{}).IsZero() || (Secret{}).Equal(a) || !(Secret{}).Equal(Secret{}) {
		t.Error("the zero secret is not none")
	}
	if len(a.bytes()) != 32 {
		t.Errorf("%d bytes", len(a.bytes()))
	}
}
