package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// sealFile holds the key of what is sealed, in hexadecimal.
const sealFile = "registered.key"

const sealKeyLen = 32

// A sealer keeps secrets out of the database: it goes into support cases and is
// looked into by tools, and the key, which lies in a file beside it, does not.
type sealer struct {
	dir string
	mu  sync.Mutex // one makes the key
}

// seal encrypts a text under a name, by AES-256-GCM. A text that was moved to
// another name does not open. The first text is sealed with a new key; for another
// there has to be one, or what was sealed with it could not be opened together with
// this one when the key is found again.
func (s *sealer) seal(name, text string, first bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.key()
	if first && errors.Is(err, fs.ErrNotExist) {
		key, err = s.makeKey()
	}
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(text), []byte(name)), nil // #nosec G407 -- the cipher draws the nonce itself
}

// open decrypts what seal has made.
func (s *sealer) open(name string, sealed []byte) (string, error) {
	key, err := s.key()
	if err != nil {
		return "", err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return "", err
	}
	text, err := aead.Open(nil, nil, sealed, []byte(name))
	if err != nil { // there is one reason
		return "", fmt.Errorf("it was not sealed with the key in %s (restore that file from a backup)", s.path())
	}
	return string(text), nil
}

// newAEAD draws a nonce for each text, and puts it before what it seals.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s *sealer) path() string { return filepath.Join(s.dir, sealFile) }

// key reads the key. The error of one that was never made is fs.ErrNotExist.
func (s *sealer) key() ([]byte, error) {
	text, err := os.ReadFile(s.path())
	if err != nil {
		return nil, fmt.Errorf("reading the key of registered endpoints: %w (restore that file from a backup, or remove those endpoints)", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != sealKeyLen {
		return nil, fmt.Errorf("%s holds no key (restore that file from a backup)", s.path())
	}
	return key, nil
}

// makeKey draws a key and has it on disk, whole, before anything is sealed with it.
func (s *sealer) makeKey() ([]byte, error) {
	key := make([]byte, sealKeyLen)
	_, _ = rand.Read(key) // documented never to fail: it ends the process instead
	next := s.path() + ".new"
	err := writeSynced(next, hex.EncodeToString(key)+"\n")
	if err == nil {
		err = os.Rename(next, s.path())
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("making the key of registered endpoints: %w", unwritable(err))
	}
	return key, nil
}

// writeSynced writes a file that only we read, in the place of what a crash has
// left of an earlier one.
func writeSynced(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
