package broker

import (
	"context"
	"net/netip"
	"strings"
	"testing"
)

// cheapHash is a hash of "secret" that costs no time.
const cheapHash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$"

func cheap(t testing.TB) string {
	t.Helper()
	h := phc{memory: 8, time: 1, threads: 1, salt: []byte("saltsalt"), key: make([]byte, 16)}
	h.key = h.of([]byte("secret"))
	if !strings.HasPrefix(h.String(), cheapHash) {
		t.Fatal(h)
	}
	return h.String()
}

func oneUser(t testing.TB, name string, publish, subscribe []string) map[string]User {
	return map[string]User{name: {PasswordHash: cheap(t), Publish: publish, Subscribe: subscribe}}
}

func TestPasswordMatchesItsHashOnly(t *testing.T) {
	h, err := HashPassword("swordfish")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := HashPassword("swordfish"); again == h {
		t.Error("two hashes of one password are equal: the salt is not random")
	}
	for password, want := range map[string]bool{"swordfish": true, "Swordfish": false, "": false} {
		if got, err := CheckPassword(h, password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password is hashed")
	}
}

// Made with the reference implementation: argon2 somesalt -id -t 2 -m 16 -p 1 -l 32.
func TestHashOfTheReferenceImplementationIsRead(t *testing.T) {
	ok, err := CheckPassword("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password")
	if !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestUnreadableHashIsRefused(t *testing.T) {
	good := cheap(t)
	for _, bad := range []string{
		"", "secret", "$2a$10$abcdefghijklmnopqrstuv", "x" + good, good + "$", good + "x",
		strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=8", "m=4194304", 1),
		strings.Replace(good, "m=8", "m=7", 1),
		strings.Replace(good, "m=8", "m=08", 1),
		strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "t=1", "t=100000", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=256", 1),
		strings.Replace(good, "c2FsdHNhbHQ", "c2E", 1),
	} {
		if ok, err := CheckPassword(bad, "secret"); ok || err == nil {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
}

func TestOnlyTheRightUserAndPasswordGetIn(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", nil, nil)}, safe)
	f := func(h hello, want byte) {
		t.Helper()
		h.id, h.clean = "d1", true
		w := dialWire(t, e)
		if code, _ := w.hello(h); code != want {
			t.Errorf("%+v: code %#x, want %#x", h, code, want)
		}
		_ = w.Close()
	}
	f(hello{user: "d", pass: "secret"}, 0)
	f(hello{user: "d", pass: "secret"}, 0) // remembered
	f(hello{user: "d", pass: "secrets"}, 5)
	f(hello{user: "d"}, 5)
	f(hello{user: "nobody", pass: "secret"}, 5)
	f(hello{}, 5)
	f(hello{version: 5, user: "d", pass: "wrong"}, 0x87)
	f(hello{version: 5, user: "d"}, 0x87)
	f(hello{version: 5, user: "nobody", pass: "secret"}, 0x87)
	f(hello{version: 5, user: "a/b", pass: "secret"}, 0x87)
	f(hello{version: 5}, 0x87)
}

func TestGuessingIsStopped(t *testing.T) {
	p, err := newPasswords(oneUser(t, "d", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	check := func(from, password string) error {
		return p.check(context.Background(), netip.MustParseAddr(from), "d", []byte(password))
	}
	if err := check("10.0.0.1", "secret"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := check("10.0.0.2", "guess"); err != errCredentials {
			t.Fatal(err)
		}
	}
	if err := check("10.0.0.2", "guess"); err != errBanned {
		t.Errorf("error %v after 20 guesses", err)
	}
	if err := check("10.0.0.2", "secret"); err != nil {
		t.Errorf("who was right before is not let in: %v", err)
	}
	if err := check("10.0.0.3", "guess"); err != errCredentials {
		t.Errorf("error %v from another address", err)
	}
}

// A name that is unknown must cost what a known one costs: the same parameters.
func TestUnknownUserCostsWhatAKnownOneCosts(t *testing.T) {
	users := map[string]User{"d": {PasswordHash: strings.Replace(cheap(t), "m=8,t=1", "m=16,t=3", 1)}}
	p, err := newPasswords(users)
	if err != nil {
		t.Fatal(err)
	}
	known := p.hashes["d"]
	if p.dummy.memory != known.memory || p.dummy.time != known.time || p.dummy.threads != known.threads || len(p.dummy.key) != len(known.key) {
		t.Errorf("unknown %+v, known %+v", p.dummy, known)
	}
	for _, password := range []string{"", "secret", "nobody"} {
		if err := p.check(context.Background(), netip.Addr{}, "x", []byte(password)); err != errCredentials {
			t.Errorf("unknown user with %q: %v", password, err)
		}
	}
}
