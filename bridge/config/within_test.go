package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// The compiler of expressions says which bytes of a text are at fault; the file
// says them in quotes, with escapes, over several lines.
func TestPartOfTextIsFoundWhereItIsWritten(t *testing.T) {
	f := func(value, part, written string) {
		t.Helper()
		text := "[rule.a]\nmetric = \"x\"\nwhen = " + value + " # behind\nfor = \"1m\"\n"
		s := &source{text: text, report: newReport(), starts: []int{0}, faulty: map[string]bool{}, below: map[string]int{}}
		s.parse()
		if s.tree == nil {
			t.Fatalf("%s: %v", value, s.report.problems)
		}
		path := []string{"rule", "a", "when"}
		decoded, _ := s.valueAt(path).(string)
		offset := strings.Index(decoded, part)
		if offset < 0 {
			t.Fatalf("%q is not in %q", part, decoded)
		}
		at := s.part(path, offset, len(part))
		if got := text[at.start:at.end]; got != written {
			t.Errorf("%s: %q is found to be %q, and is %q", value, part, got, written)
		}
	}
	f(`"battery < 15 and temprature > 3"`, "temprature", "temprature")
	f(`'battery < 15'`, "< 15", "< 15")
	f(`'a\b'`, "b", "b")
	f(`"state == \"open\" and x"`, `"open"`, `\"open\"`)
	f(`"state == \"open\" and x"`, "x", "x")
	f(`"temperature > 3 °C and tmp"`, "tmp", "tmp")
	f(`"\u00b0C \U0001F321 \x41\e tmp"`, "tmp", "tmp")
	f(`"a\tb"`, "b", "b")
	f("\"\"\"\nbattery < 15\n  and tmp\"\"\"", "tmp", "tmp")
	f("\"\"\"\r\nbattery < 15\r\n  and tmp\"\"\"", "tmp", "tmp")
	f("\"\"\"battery < 15 \\\n   and tmp\"\"\"", "and tmp", "and tmp")
	f("\"\"\"a \\  \r\n \r\n b\\\\ tmp\"\"\"", "tmp", "tmp")
	f("'''\nx '' y'''", "y", "y")
	f(`"""x "quoted" y"""`, `"quoted"`, `"quoted"`)
	f(`"""x y""""`, `y"`, `y"`)
}

// What the library reads from a string, readString reads too: else expressions
// would be pointed at as a whole, and nobody would know why.
func FuzzReadString(f *testing.F) {
	for _, s := range []string{`"a"`, `'a'`, `"\u00e9\n\\\""`, "\"\"\"\n a \\\n b\"\"\"", "'''\r\nx'''", `"""""""`, `"\x7e\e"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		text, at := readString(raw) // whatever it is given
		if len(at) != len(text)+1 && at != nil {
			t.Fatalf("%d places for %d bytes", len(at), len(text))
		}
		for i, n := range at {
			if n < 0 || n > len(raw) || i > 0 && n < at[i-1] {
				t.Fatalf("%q: places %v", raw, at)
			}
		}
		var tree struct {
			A any `toml:"a"`
		}
		if invalidByte(raw) >= 0 {
			return
		}
		if _, err := toml.Decode("a = "+raw, &tree); err != nil {
			return
		}
		p, ok := scan("a = " + raw).places["a"]
		want, isText := tree.A.(string)
		if !ok || !isText {
			return
		}
		if got, _ := readString(("a = " + raw)[p.value.start:p.value.end]); got != want {
			t.Fatalf("%q is read as %q, and is %q", raw, got, want)
		}
	})
}

func TestPartOfWhatIsNotThereIsTheWholeValue(t *testing.T) {
	text := "a = \"x > 3\"\nb = 3\nc = [\"y > 3\", { d = 'z' }]\n"
	s := &source{text: text, report: newReport(), starts: []int{0}, faulty: map[string]bool{}, below: map[string]int{}}
	s.parse()
	f := func(want string, offset, length int, path ...string) {
		t.Helper()
		at := s.part(path, offset, length)
		if got := text[at.start:at.end]; got != want {
			t.Errorf("%v %d+%d is found to be %q, and is %q", path, offset, length, got, want)
		}
	}
	f(`"x > 3"`, 0, 0, "a")
	f(`"x > 3"`, 9, 1, "a")
	f(`"x > 3"`, -1, 1, "a")
	f(`"x > 3"`, 2, 99, "a")
	f(`"`, 5, 1, "a") // the end
	f("3", 0, 1, "b")
	f("y", 0, 1, "c", "0")
	f("z", 0, 1, "c", "1", "d")
	f("x", 0, 1, "a", "0") // a list that may be one text
	s.tree["a"] = "a variable > 3"
	f(`"x > 3"`, 2, 1, "a")
}
