package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a file says is shown with its faults, on terminals, in logs and in
// tickets, and a file holds secrets: where they belong, and where they were put
// by mistake. So more is masked than needs to be.

// showable is the text by lines, cut to what fits on a screen, with asterisks,
// character for character, where a secret may stand: in the values of keys that
// are called like one, in URLs behind the host, and in what looks like a secret
// wherever it is.
func (s *source) showable() []string {
	text := []byte(s.text)
	m := masker{text: text, known: map[string]bool{}, settings: settings()}
	watch(s.text, m.value)
	for _, at := range regexp.MustCompile(`#[^\n]*`).FindAllIndex(text, -1) {
		m.comment(at[0], at[1])
	}
	for _, at := range urls().FindAllIndex(text, -1) {
		m.url(at[0], at[1], false)
	}
	for _, at := range tokens().FindAllSubmatchIndex(text, -1) {
		mask(text, at[2], at[3])
		mask(text, at[4], at[5])
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\x00", ""), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if runes := []rune(line); len(runes) > maxExcerpt {
			line = string(runes[:maxExcerpt]) + "…"
		}
		lines[i] = line
	}
	return lines
}

// settings finds keys in a comment, up to their values.
func settings() *regexp.Regexp {
	return regexp.MustCompile(`([A-Za-z0-9_.-]+)["']?[ \t]*[=:]`)
}

// urls finds texts in quotes, which may hold a URL, and URLs without quotes.
func urls() *regexp.Regexp {
	return regexp.MustCompile(`"(?:[^"\\\n]|\\[^\n])*"?|'[^'\n]*'?|[A-Za-z][A-Za-z0-9+.-]*://[^\s"']*`)
}

// tokens finds what is a secret by its looks.
func tokens() *regexp.Regexp {
	return regexp.MustCompile(`(?i)((?:whsec|whsk)_[^\s"',}\]]+|\$argon2[^\s"']+)|\b(?:bearer|basic)[ \t]+([^\s"',}\]=]+)`)
}

// A masker overwrites secrets in a text.
type masker struct {
	text  []byte
	known map[string]bool // keys that were judged

	settings *regexp.Regexp // [settings]
}

// value masks a value, as much of it as must be.
func (m *masker) value(path []string, at span) {
	if len(path) == 0 || at.start >= at.end {
		return
	}
	text := string(m.text[at.start:at.end])
	last := path[len(path)-1]
	switch {
	case m.secretPath(path):
		plain := strings.Trim(text, `"'`)
		reference := len(path) > 1 && (last == "env" && isVariableName(plain) || last == "file" && !looksSecret(plain))
		keyFile := last == "key" && (strings.HasSuffix(plain, ".pem") || strings.HasSuffix(plain, ".key")) && !looksSecret(plain)
		date := last == "not_after" && strings.Trim(plain, "0123456789-:.TZ+ ") == "" && len(plain) < 40
		if !reference && !keyFile && !date {
			mask(m.text, at.start, at.end)
		}
	case text[0] != '{' && text[0] != '[':
		m.url(at.start, at.end, near(last, "url", 1) || near(last, "uri", 1))
	}
}

// url masks what a URL holds before and behind its host. A text that is none is
// taken for one that lacks its scheme, or left alone.
func (m *masker) url(start, end int, lacking bool) {
	text := string(m.text[start:end])
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		if !lacking {
			return
		}
		rest = strings.TrimLeft(text, `"'`)
	}
	at := end - len(rest)
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		mask(m.text, at, at+i)
		at, rest = at+i+1, rest[i+1:]
	}
	host := strings.IndexFunc(rest, func(r rune) bool { return strings.ContainsRune("/?#\\", r) || unicode.IsSpace(r) })
	if host < 0 {
		host = len(rest)
	}
	name, port, _ := strings.Cut(strings.TrimRight(rest[:host], `"',}])`), ":")
	if !strings.HasPrefix(name, "[") && strings.Trim(port, "0123456789") != "" {
		host = min(len(name)+1, len(rest)) // what stands where the port does is a password
	}
	if host < len(rest) && strings.ContainsRune("/?#", rune(rest[host])) {
		host++
	}
	mask(m.text, at+host, end)
}

// comment masks a value that was commented out.
func (m *masker) comment(start, end int) {
	text := m.text[start:end]
	for _, at := range m.settings.FindAllSubmatchIndex(text, -1) {
		if m.secretPath(strings.Split(string(text[at[2]:at[3]]), ".")) {
			mask(text, at[1], len(text))
			return
		}
	}
}

// secretPath reports whether a key on the way to a value is called like a
// secret. Names that the user gave to tables are not keys.
func (m *masker) secretPath(path []string) bool {
	for i, key := range path {
		named := i == 1 && isNamed(path[0]) || i == 3 && slices.Contains([]string{"user", "override", "escalate"}, path[2])
		if named && i < len(path)-1 || key == "pass" && path[0] == "flood" {
			continue
		}
		if key == "with" { // parameters of a preset: most are credentials
			return true
		}
		secret, known := m.known[key]
		if !known {
			secret = secretKey(key)
			m.known[key] = secret
		}
		if secret {
			return true
		}
	}
	return false
}

// secretKey reports whether a key is called like a secret, mistakes in writing
// included: password, pasword, client_secret, apiKey, X-Auth-Token, headers.
func secretKey(key string) bool {
	lower := strings.ToLower(key)
	if slices.Contains([]string{"breaker", "open", "max_open"}, lower) { // two letters from bearer and from token
		return false
	}
	long := []string{"password", "passwd", "passphrase", "secret", "token", "authorization", "credential", "credentials", "headers", "cookie", "bearer", "signature"}
	if slices.ContainsFunc(long, func(word string) bool { return strings.Contains(lower, word) || near(key, word, 2) }) {
		return true
	}
	for _, part := range strings.FieldsFunc(key, func(r rune) bool { return r == '_' || r == '-' || r == '.' || r == ' ' }) {
		if slices.ContainsFunc(long, func(word string) bool { return near(part, word, 2) }) ||
			slices.ContainsFunc([]string{"key", "auth", "pass", "pwd", "psk"}, func(word string) bool { return near(part, word, 1) }) {
			return true
		}
	}
	return strings.HasSuffix(lower, "key")
}

// near reports whether a name is at most some letters away from a word.
func near(name, word string, letters int) bool {
	if d := len(name) - len(word); d < -letters || d > letters {
		return false
	}
	return distance(strings.ToLower(name), word) <= letters
}

// looksSecret reports whether what should be a name is rather the secret that
// was to be under that name.
func looksSecret(name string) bool {
	looks := regexp.MustCompile(`(?i)^(whsec|whsk)_|^\$|^(bearer|basic)\s|-----BEGIN`)
	if looks.MatchString(name) || strings.ContainsAny(name, "\n\r") || strings.Contains(name, "://") {
		return true
	}
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '\\' || r == '.' || r == '-' || r == '_' }) {
		if len(part) >= 16 && strings.ContainsAny(part, "0123456789") && strings.ContainsFunc(part, unicode.IsLetter) {
			return true
		}
	}
	return false
}

// isVariableName reports whether a name of a variable can be shown: it is
// written as such names are, and as secrets are not.
func isVariableName(name string) bool {
	return isVariable(name) && strings.ToUpper(name) == name && !looksSecret(name)
}

// A scrubber masks messages, which quote the file.
type scrubber struct {
	tokenPattern *regexp.Regexp // [tokens]
	urlPattern   *regexp.Regexp // [urls]
}

func newScrubber() scrubber { return scrubber{tokenPattern: tokens(), urlPattern: urls()} }

// scrub masks in a message what looks like a secret.
func (s scrubber) scrub(message string) string {
	text := []byte(message)
	for _, at := range s.tokenPattern.FindAllSubmatchIndex(text, -1) {
		mask(text, at[2], at[3])
		mask(text, at[4], at[5])
	}
	return strings.ReplaceAll(string(text), "\x00", "")
}

// scrubURLs masks in a message what URLs hold behind their hosts.
func (s scrubber) scrubURLs(message string) string {
	m := masker{text: []byte(message)}
	for _, at := range s.urlPattern.FindAllStringIndex(message, -1) {
		m.url(at[0], at[1], false)
	}
	return strings.ReplaceAll(string(m.text), "\x00", "")
}

// mask overwrites a part of a text, quotes and line ends excepted. Of a longer
// character only the first byte becomes an asterisk, and the others become 0.
func mask(text []byte, start, end int) {
	for i := max(start, 0); i < end; i++ {
		switch c := text[i]; {
		case c == '"', c == '\'', c == '\n', c == '\r', c == 0:
		case utf8.RuneStart(c):
			text[i] = '*'
		default:
			text[i] = 0
		}
	}
}
