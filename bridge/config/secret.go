package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const maxSecret = 64 << 10

// secret reads what a reference refers to. It reports whether there is a
// secret; if there ought to be one and is not, that has been reported.
func (l *loader) secret(path []string, s *Secret) bool {
	if !s.written() {
		return false
	}
	var text string
	var err error
	switch {
	case s.Env != "" && s.File != "":
		err = errors.New("names a variable and a file (keep one of them)")
	case l.noSecrets && s.literal == nil:
		return false
	case s.Env != "":
		text, err = l.secretFromEnv(s.Env)
	case s.File != "":
		text, s.path, err = l.secretFromFile(path, s.File)
	default:
		text = *s.literal
		switch {
		case strings.TrimSpace(text) == "":
			err = errors.New(`is empty (write { file = "PATH" } or { env = "NAME" })`)
		case !l.main.fromEnv[pathKey(path)]:
			l.main.warnValue(path, "a secret is written into this file", `keep it apart: { file = "PATH" } or { env = "NAME" }`)
		}
	}
	if err != nil {
		l.main.leaf(path, err, `write { file = "PATH" } or { env = "NAME" }`)
		return false
	}
	s.text = &text
	return true
}

func (l *loader) secretFromEnv(name string) (string, error) {
	text, ok := l.getenv(name)
	if !ok && !isVariableName(name) {
		return "", errors.New(`env names no variable that is set, and may be the secret itself (write the name of the variable it is in, as in { env = "OPS_SECRET" })`)
	}
	if !ok {
		return "", fmt.Errorf("the variable %s is not set (set it in the environment of tocsin)", name)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("the variable %s is empty (set it to the secret)", name)
	}
	return text, nil
}

// secretFromFile reads the secret's file that the key at path names, beside the
// configuration or where systemd puts credentials, and says which file that was.
func (l *loader) secretFromFile(path []string, name string) (text, file string, err error) {
	file = l.resolve(name)
	given := false // by systemd, which looks after the mode itself
	if !exists(file) && filepath.IsLocal(name) {
		if dir, ok := l.getenv("CREDENTIALS_DIRECTORY"); ok && dir != "" {
			if credential := filepath.Join(dir, name); exists(credential) {
				file, given = credential, true
			}
		}
	}
	if looksSecret(name) && !exists(file) {
		return "", file, errors.New(`file names no file, and may be the secret itself (put the secret into a file for tocsin alone to read, and name that)`)
	}
	if err := l.contained(name, file); err != nil && !given {
		return "", file, err
	}
	b, err := readFile(file, maxSecret)
	if err != nil {
		return "", file, fmt.Errorf("the file %s %w (%s)", name, err, secretAdvice(path, file, err))
	}
	if !given {
		if err := private(file); err != nil {
			return "", file, fmt.Errorf("the file %s %w (chmod 600 %s)", name, err, name)
		}
	}
	text = strings.TrimSpace(string(b))
	if text == "" {
		return "", file, fmt.Errorf("the file %s is empty (write the secret into it)", name)
	}
	return text, file, nil
}

// secretAdvice is what to do about a secret's file that cannot be read.
func secretAdvice(path []string, file string, err error) string {
	file = filepath.ToSlash(file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user who runs tocsin read it: chown that user " + file
	case !errors.Is(err, fs.ErrNotExist):
		return "name a file that holds the secret"
	case path[0] == "endpoint" && len(path) > 2 && path[2] == "key":
		return "make it with: tocsin keygen --type ed25519 --out " + file
	case path[0] == "endpoint", path[0] == "http":
		return "make it with: tocsin keygen --out " + file
	case strings.HasPrefix(pathKey(path), pathKey(keys("broker.embedded.user"))):
		return "make it with: tocsin hash-password > " + file + ", and chmod 600"
	}
	return "write the secret into it, and chmod 600 " + file
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// private reports whether others than the owner and the group can read or write
// a file.
func private(file string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil // it will be reported when it is read
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("can be read or written by everyone (mode %04o)", mode)
	}
	return nil
}

// contained refuses a file whose name lies in the folder of the configuration,
// and that a symbolic link leads out of it: who may write there may not be who
// may read elsewhere. What is named from the root or by .. is meant.
func (l *loader) contained(name, file string) error {
	if !filepath.IsLocal(name) {
		return nil
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil // it will be reported when it is opened
	}
	// The configuration may itself be a link to where it is managed.
	for _, root := range []string{l.dir, l.config.Path} {
		real, err := filepath.EvalSymlinks(root)
		if err != nil {
			continue
		}
		if root == l.config.Path {
			real = filepath.Dir(real)
		}
		if rel, err := filepath.Rel(real, target); err == nil && filepath.IsLocal(rel) {
			return nil
		}
	}
	return fmt.Errorf("the file %s is a link out of the configuration's folder (name the file it leads to)", name)
}
