package broker

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
)

// The cost of a new hash: the least that OWASP recommends for argon2id, about
// 20 ms on a small machine. Older hashes keep the cost that is written in them.
const (
	hashMemory  = 19 * 1024 // KiB
	hashTime    = 2
	hashThreads = 1
	saltLen     = 16
	keyLen      = 32
)

// What a configured hash may ask of us; anything beyond is a mistake or an attack.
const (
	maxHashMemory = 256 * 1024 // KiB
	maxHashTime   = 64
)

// A phc is a parsed argon2id hash.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func (h phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// of returns the key of a password under the parameters of h.
func (h phc) of(password []byte) []byte {
	return argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.key))) // #nosec G115 -- at most 128
}

// matches does the same work whatever the password.
func (h phc) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.key) == 1
}

var errHash = errors.New("is not an argon2id hash (make one with tocsin hash-password)")

func parseHash(s string) (phc, error) {
	var h phc
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errHash
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.key) < 16 || len(h.key) > 128 {
		return h, errHash
	}
	if h.time < 1 || h.time > maxHashTime || h.threads < 1 || h.memory < 8*uint32(h.threads) || h.memory > maxHashMemory {
		return h, fmt.Errorf("asks for m=%d,t=%d,p=%d (at most m=%d,t=%d is accepted; make it anew with tocsin hash-password)",
			h.memory, h.time, h.threads, maxHashMemory, maxHashTime)
	}
	if h.String() != s {
		return h, errHash // spaces, signs, leading zeros: nothing that we or others write
	}
	return h, nil
}

// HashPassword returns the argon2id hash of a password in PHC form, with a
// random salt of its own.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty (give at least one character)")
	}
	h, err := newHash([]byte(password))
	if err != nil {
		return "", err
	}
	return h.String(), nil
}

func newHash(password []byte) (phc, error) {
	h := phc{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltLen), key: make([]byte, keyLen)}
	if _, err := rand.Read(h.salt); err != nil {
		return h, fmt.Errorf("drawing a salt: %w", err)
	}
	h.key = h.of(password)
	return h, nil
}

// CheckPassword says whether hash was made of password. The error is for a hash
// that cannot be read.
func CheckPassword(hash, password string) (bool, error) {
	h, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	return h.matches([]byte(password)), nil
}

// passwords checks what clients say against the configured hashes.
//
// Only so many hashes are computed at once, so a flood of connections costs
// waiting, not memory. A name that is unknown costs what a known one costs. Who
// was right once is remembered by a keyed digest, one per user, because ten
// thousand devices that come back together must not wait for ten thousand
// hashes; nothing is remembered of who was wrong.
type passwords struct {
	hashes map[string]phc
	dummy  phc // checked for names that are unknown
	slots  chan struct{}
	key    [32]byte

	mu    sync.Mutex
	known map[string][32]byte // user to digest of the password last found right

	failures *perAddress // wrong answers an address has left
}

func newPasswords(users map[string]User) (*passwords, error) {
	p := &passwords{
		hashes:   make(map[string]phc, len(users)),
		slots:    make(chan struct{}, min(4, runtime.GOMAXPROCS(0))),
		known:    map[string][32]byte{},
		failures: newPerAddress(1, 20),
	}
	if _, err := rand.Read(p.key[:]); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	var names []string
	for name, u := range users {
		if u.PasswordHash == "" {
			continue
		}
		h, err := parseHash(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("user %q: password %w", name, err)
		}
		p.hashes[name] = h
		names = append(names, name)
	}
	// A name that is unknown is checked against a key that no password has, at
	// the cost of a real one.
	p.dummy = phc{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltLen), key: make([]byte, keyLen)}
	if len(names) > 0 {
		slices.Sort(names)
		p.dummy = p.hashes[names[0]]
		p.dummy.key = make([]byte, len(p.dummy.key))
	}
	return p, nil
}

var (
	errCredentials = errors.New("user name or password is wrong")
	errBanned      = errors.New("too many wrong passwords from this address")
)

// check returns nil when the password is the user's.
func (p *passwords) check(ctx context.Context, from netip.Addr, user string, password []byte) error {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(user))
	mac.Write([]byte{0})
	mac.Write(password)
	digest := [32]byte(mac.Sum(nil))

	p.mu.Lock()
	known, ok := p.known[user]
	p.mu.Unlock()
	if ok && hmac.Equal(known[:], digest[:]) {
		return nil
	}
	if !p.failures.left(from) {
		return errBanned
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to check a password: %w", ctx.Err())
	}
	h, exists := p.hashes[user]
	if !exists {
		h = p.dummy
	}
	if !h.matches(password) || !exists {
		p.failures.allow(from)
		return errCredentials
	}
	p.mu.Lock()
	p.known[user] = digest
	p.mu.Unlock()
	return nil
}
