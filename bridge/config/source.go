package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFile bounds a file: some hundred thousand devices fit.
const maxFile = 10 << 20

// A source is one file: its text, what it says, and where it says it.
type source struct {
	name   string // as problems call it
	text   string
	tree   map[string]any // nil if the text is not TOML
	places map[string]place
	report *report

	starts  []int           // offsets at which the lines start
	lines   []string        // the lines as they may be shown; nil until they are
	binary  bool            // none may: they are no text
	fromEnv map[string]bool // paths of strings in which a variable was expanded
	lenient bool            // what is reported is only a warning
	faulty  map[string]bool // paths that were reported
	below   map[string]int  // how many of them are at a path or below it
}

// readSource reads and parses a file. Its problems go to report; what could not
// be read has a nil tree.
func readSource(name, path string, report *report) *source {
	text, err := readFile(path, maxFile)
	if err != nil {
		s := emptySource(name, report)
		s.problem(span{}, nil, err.Error(), fileAdvice(err))
		return s
	}
	return newSource(name, string(text), report)
}

// newSource parses a text.
func newSource(name, text string, report *report) *source {
	s := emptySource(name, report)
	s.text = strings.TrimPrefix(text, "\uFEFF")
	s.parse()
	return s
}

func emptySource(name string, report *report) *source {
	return &source{name: name, report: report, places: map[string]place{}, starts: []int{0}, fromEnv: map[string]bool{},
		faulty: map[string]bool{}, below: map[string]int{}}
}

func fileAdvice(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name the right one with -c FILE"
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs tocsin read it"
	case errors.Is(err, errTooLarge):
		return "split it into several rule files"
	}
	return "name a plain file"
}

var errTooLarge = errors.New("is larger than is read")

// readFile reads a regular file of limited size. Errors do not repeat the path.
func readFile(path string, limit int64) ([]byte, error) {
	// Without O_NONBLOCK, opening a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // #nosec G304 -- which files are read is for the operator to say
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", bare(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", bare(err))
	case info.IsDir():
		return nil, errors.New("is a directory, not a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", bare(err))
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%w: %d KiB", errTooLarge, limit>>10)
	}
	return text, nil
}

// bare is what went wrong without the operation and the path.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// parse makes the tree and the places from the text.
func (s *source) parse() {
	for i := range len(s.text) {
		if s.text[i] == '\n' {
			s.starts = append(s.starts, i+1)
		}
	}
	if at := invalidByte(s.text); at >= 0 {
		s.binary = true
		s.problem(span{at, at + 1}, nil, fmt.Sprintf("byte 0x%02x is not text", s.text[at]), "save the file as UTF-8")
		return
	}
	sc := scan(s.text)
	s.places = sc.places
	if sc.deep >= 0 {
		s.problem(span{sc.deep, sc.deep + 1}, nil,
			fmt.Sprintf("tables and lists lie in each other more than %d deep", maxDepth), "no key needs that; look for brackets or dots too many")
		return
	}
	tree := make(map[string]any)
	if _, err := toml.Decode(s.text, &tree); err != nil {
		s.syntaxProblem(err, sc.again)
		return
	}
	s.tree = tree
}

// invalidByte finds the first byte that no text file holds, or returns -1.
func invalidByte(text string) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return i
		}
		i += n
	}
	return -1
}

// syntaxProblem reports what the TOML library did not accept. Its positions are
// taken as offsets only: the line can be 0.
func (s *source) syntaxProblem(err error, again map[int]twice) {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		s.problem(span{}, nil, "is not TOML: "+err.Error(), "write key = value, [table] or # comment")
		return
	}
	start := min(max(pe.Position.Start, 0), len(s.text))
	at := span{start, min(start+max(pe.Position.Len, 1), len(s.text))}
	if t, ok := again[start]; ok {
		line, _ := s.position(t.first.start)
		s.problem(t.second, nil, s.text[t.second.start:t.second.end]+" is written a second time",
			fmt.Sprintf("keep one of them; the first is in line %d", line))
		return
	}
	fact, remedy := syntaxAdvice(pe.Message)
	if s.masked(at) && fact == pe.Message {
		fact, remedy = "a value cannot be read", "put text in quotes, and end it with the quote it began with"
	}
	s.problem(at, nil, "is not TOML here: "+fact, remedy)
}

// syntaxAdvice adds a remedy to the library's message, and rephrases what can be
// said better.
func syntaxAdvice(message string) (fact, remedy string) {
	has := func(s string) bool { return strings.Contains(message, s) }
	switch {
	case has("already been defined"), has("already created"):
		return message, "write every key and every table once"
	case has("cannot contain newlines"), has("unexpected EOF; expected '"), has(`unexpected EOF; expected "`):
		return "a text is not closed", "end it with the quote it began with"
	case has(`expected value but found '\n'`), has("unexpected EOF; expected value"):
		return "a value is missing", "write one behind the =, or remove the key"
	case has("expected value"), has("expected 'true' or 'false'"), has("expected a top-level item to end"):
		return message, `put text in quotes, and each key or [table] on a line of its own`
	case has("array terminator"):
		return message, "put commas between the elements, and ] at the end"
	case has("inline table terminator"):
		return message, "put commas between the keys, and } at the end"
	case has("escape"):
		return message, `write \\ for a backslash, or put the text in 'single quotes'`
	case has("datetime"):
		return message, "write a date as in 2026-11-22, or put text in quotes"
	case has("nvalid integer"), has("nvalid float"), has("out of range"):
		return message, "write digits, with a point where needed, or put text in quotes"
	}
	return message, "write key = value, [table] or # comment, one a line"
}

// position converts an offset to a line and a column in characters, from 1.
func (s *source) position(offset int) (line, column int) {
	offset = min(max(offset, 0), len(s.text))
	line, found := slices.BinarySearch(s.starts, offset)
	if !found {
		line--
	}
	return line + 1, 1 + utf8.RuneCountInString(s.text[s.starts[line]:offset])
}

// find returns the place of a path, or of as much of it as is written.
func (s *source) find(path []string) place {
	for n := len(path); n > 0; n-- {
		if p, ok := s.places[pathKey(path[:n])]; ok {
			return p
		}
	}
	return place{}
}

// problem reports a fault at a part of the text.
func (s *source) problem(at span, path []string, fact, remedy string) {
	if s.report.full(s.lenient) {
		return
	}
	line, column := s.position(at.start)
	r := s.report
	r.add(Problem{
		File: s.name, Line: line, Column: column, Warning: s.lenient,
		Place: r.scrub(placeName(path)), Fact: r.scrub(r.scrubURLs(fact)), Remedy: r.scrub(remedy),
		Excerpt: s.excerpt(at),
	})
}

// atValue reports a fault of the value that a path leads to, and of a path only
// one: what follows from a fault is none.
func (s *source) atValue(path []string, fact, remedy string) {
	if s.first(path) {
		s.problem(s.find(path).value, placeFor(path, fact), fact, remedy)
	}
}

// placeFor is what of a path is told with a fact: one that begins with the key
// does not need it, but what the user named is no key.
func placeFor(path []string, fact string) []string {
	n := len(path)
	switch {
	case n == 0, !beginsWith(fact, path[n-1]), n == 2 && isNamed(path[0]), n == 4 && isRuleTable(path):
		return path
	}
	return path[:n-1]
}

func beginsWith(fact, key string) bool {
	rest, ok := strings.CutPrefix(fact, key)
	return ok && strings.IndexAny(rest, " '") == 0
}

// atKey reports a fault of the key itself, which the fact names.
func (s *source) atKey(path []string, fact, remedy string) {
	if s.first(path) {
		table := path[:len(path)-1]
		if len(table) == 1 && isNamed(table[0]) {
			table = nil // the fact says it all
		}
		s.problem(s.find(path).key, table, fact, remedy)
	}
}

// leaf reports the error of a leaf, which reads "fact (remedy)"; otherwise is
// the remedy of an error that has none.
func (s *source) leaf(path []string, err error, otherwise string) {
	fact, remedy := splitError(err)
	if remedy == "" {
		remedy = otherwise
	}
	s.atValue(path, fact, remedy)
}

// warnKey and warnValue are atKey and atValue for what is only a warning: an
// error at the same path may follow.
func (s *source) warnKey(path []string, fact, remedy string) {
	s.warn(path, func() { s.atKey(path, fact, remedy) })
}

func (s *source) warnValue(path []string, fact, remedy string) {
	s.warn(path, func() { s.atValue(path, fact, remedy) })
}

func (s *source) warn(path []string, report func()) {
	before := s.faulty[pathKey(path)]
	s.lenient = true
	report()
	s.lenient = false
	if !before {
		s.pardon(path)
	}
}

// first reports whether a path is reported for the first time, and notes it.
func (s *source) first(path []string) bool {
	if s.faulty[pathKey(path)] {
		return false
	}
	s.blame(path)
	return true
}

// blame notes that a path was reported, and pardon that it was not.
func (s *source) blame(path []string) { s.note(path, true, 1) }

func (s *source) pardon(path []string) { s.note(path, false, -1) }

func (s *source) note(path []string, faulty bool, n int) {
	if s.faulty[pathKey(path)] == faulty {
		return
	}
	s.faulty[pathKey(path)] = faulty
	for i := range len(path) + 1 {
		s.below[pathKey(path[:i])] += n
	}
}

// undecoded reports whether a problem was reported at a path or below it.
func (s *source) undecoded(path []string) bool { return s.below[pathKey(path)] > 0 }

// splitError parts "fact (remedy)".
func splitError(err error) (fact, remedy string) {
	text := err.Error()
	if !strings.HasSuffix(text, ")") {
		return text, ""
	}
	depth := 0
	for i := len(text) - 1; i > 0; i-- {
		switch text[i] {
		case ')':
			depth++
		case '(':
			depth--
		}
		if depth == 0 {
			return strings.TrimSpace(text[:i]), text[i+1 : len(text)-1]
		}
	}
	return text, ""
}

// placeName says in words where a path leads: `endpoint "ops" retry.schedule`,
// `rule "freezer-warm" override "type:pump" above`.
func placeName(path []string) string {
	var words []string
	name := func(keys int) {
		words = append(words, fmt.Sprintf("%s %q", path[keys-2], path[keys-1]))
		path = path[keys:]
	}
	switch {
	case len(path) >= 2 && isNamed(path[0]):
		rule := path[0] == "rule"
		name(2)
		if rule && len(path) >= 2 && (path[0] == "override" || path[0] == "escalate") {
			name(2)
		}
	case len(path) >= 4 && pathKey(path[:3]) == pathKey([]string{"broker", "embedded", "user"}):
		name(4)
	}
	var rest strings.Builder
	for i, key := range path {
		switch _, err := strconv.Atoi(key); {
		case err == nil && i > 0:
			rest.WriteString("[" + key + "]")
		case i > 0:
			rest.WriteString("." + key)
		default:
			rest.WriteString(key)
		}
	}
	if len(path) > 0 {
		words = append(words, rest.String())
	}
	return strings.Join(words, " ")
}

// isNamed reports whether the tables below a key carry names of the user's.
func isNamed(key string) bool {
	switch key {
	case "source", "endpoint", "rule", "metric", "device", "group", "schedule", "maintenance", "test":
		return true
	}
	return false
}
