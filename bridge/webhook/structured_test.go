package webhook

import (
	"maps"
	"slices"
	"testing"
)

func TestBytesAreReadInOneSpellingOnly(t *testing.T) {
	f := func(s, want string, ok bool) {
		t.Helper()
		got, err := byteSequence(s)
		if string(got) != want || (err == nil) != ok {
			t.Errorf("%q is read as %q, %v", s, got, err)
		}
	}
	f(":AAE=:", "\x00\x01", true)
	f("::", "", true)
	f(":AAF=:", "", false) // its last bits are not zero
	f(":AAE:", "", false)
	f(":AA\nE=:", "", false)
	f(":AAE=", "", false)
	f("AAE=:", "", false)
	f(":", "", false)
	f(":AAE=:;a=1", "", false)
}

func TestDictionariesAreReadStrictly(t *testing.T) {
	f := func(values []string, want ...member) {
		t.Helper()
		got, err := dictionary(values)
		if err != nil && want != nil || err == nil && !slices.Equal(got, want) {
			t.Errorf("%q is read as %+v, %v", values, got, err)
		}
		if err == nil && want == nil && len(values) > 0 {
			t.Errorf("%q is read as %+v", values, got)
		}
	}
	f([]string{`a=:AA==:, b=("x" "y");c="d,\"e"`}, member{"a", ":AA==:"}, member{"b", `("x" "y");c="d,\"e"`})
	f([]string{"a=1", "b=2"}, member{"a", "1"}, member{"b", "2"})
	f([]string{"a=1, a=2"})
	f([]string{"a=1", "a=2"})
	f([]string{"a=1,"})
	f([]string{"a"})
	f([]string{"A=1"})
	f([]string{"=1"})
	f([]string{`a="1`})
	f([]string{`a="\1"`})
}

func TestSignatureInputIsReadStrictly(t *testing.T) {
	components, params, err := signatureInput(`("@method" "content-digest");created=1;keyid="a\"b";alg="ed25519"`)
	if err != nil || !slices.Equal(components, []string{"@method", "content-digest"}) ||
		!maps.Equal(params, map[string]string{"created": "1", "keyid": `a"b`, "alg": "ed25519"}) {
		t.Errorf("read as %q, %q, %v", components, params, err)
	}
	for _, s := range []string{
		``, `"@method"`, `("@method"`, `(@method)`, `("@method";req)`, `("@method""b")`, `("@method")created=1`,
		`("@method");created`, `("@method");created=1;created=2`, `("@method");="x"`, `("@method");a="x`,
	} {
		if components, params, err := signatureInput(s); err == nil {
			t.Errorf("%s is read as %q, %q", s, components, params)
		}
	}
}
