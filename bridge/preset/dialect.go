package preset

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A dialect says how a character of a value is written into a field whose text
// means something: nothing that a device says may be taken for markup.
type dialect func(r rune) string

func dialectNames() []string {
	return []string{"discord", "journal", "liquid", "plain", "slack", "teams", "telegram", "wiki"}
}

func findDialect(name string) dialect {
	switch name {
	case "slack":
		return entities("")
	case "telegram":
		return entities(`"`)
	case "discord":
		return backslash("\\*_~`|<>#-+:[]()")
	case "teams":
		return backslash("\\`*_{}[]()<>#+-.!|~&")
	case "wiki":
		return numbered("\\{}[]*_!|^~?&")
	case "journal":
		return broken('[')
	case "liquid":
		return broken('{')
	}
	return nil
}

// numbered writes characters by their numbers, as HTML does. Jira's wiki markup
// has a backslash too, and takes two of them for something else.
func numbered(special string) dialect {
	return func(r rune) string {
		if strings.ContainsRune(special, r) {
			return fmt.Sprintf("&#%d;", r)
		}
		return string(r)
	}
}

// broken keeps a character from opening a word with what follows it, where
// nothing else stands for it: ServiceNow's [code], Zendesk's {{placeholder}}.
func broken(opens rune) dialect {
	return func(r rune) string {
		if r == opens {
			return string(r) + "\u200b"
		}
		return string(r)
	}
}

// entities writes the characters that open markup as HTML does.
func entities(more string) dialect {
	return func(r rune) string {
		switch {
		case r == '&':
			return "&amp;"
		case r == '<':
			return "&lt;"
		case r == '>':
			return "&gt;"
		case r == '"' && more != "":
			return "&quot;"
		}
		return string(r)
	}
}

// backslash writes a backslash before the characters of Markdown.
func backslash(special string) dialect {
	return func(r rune) string {
		if strings.ContainsRune(special, r) {
			return `\` + string(r)
		}
		return string(r)
	}
}

// pathPart writes a character so that it cannot leave its part of a path.
func pathPart(r rune) string { return percent(r, "-_.~:") }

func percent(r rune, plain string) string {
	if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(plain, r) {
		return string(r)
	}
	var b strings.Builder
	for _, c := range []byte(string(r)) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// headerPart writes percent-encoded what no header may carry.
func headerPart(r rune) string {
	if r >= ' ' && r < 0x7f {
		return string(r)
	}
	return percent(r, "")
}

// eventPart writes the value of a header as the HTTP binding of CloudEvents does.
func eventPart(r rune) string {
	if r > ' ' && r < 0x7f && r != '"' && r != '%' {
		return string(r)
	}
	return percent(r, "")
}

// write writes s in a dialect, at most limit characters of it (0: all), cut
// between characters of s, with an ellipsis that shows it.
func (d dialect) write(s string, limit int) string {
	if limit <= 0 {
		limit = -1
	}
	if d == nil && (limit < 0 || utf8.RuneCountInString(s) <= limit) {
		return s
	}
	var b strings.Builder
	n, fits := 0, 0 // characters written, and bytes up to which an ellipsis still fits
	for _, r := range s {
		piece := string(r)
		if d != nil {
			piece = d(r)
		}
		n += utf8.RuneCountInString(piece)
		if limit >= 0 && n > limit {
			return b.String()[:fits] + "…"
		}
		b.WriteString(piece)
		if n < limit || limit < 0 {
			fits = b.Len()
		}
	}
	return b.String()
}

// truncate cuts s to at most limit characters, the ellipsis included.
func truncate(s string, limit int) string { return dialect(nil).write(s, limit) }
