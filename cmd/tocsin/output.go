package main

import (
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/mattn/go-isatty"
)

// What a receiver, a device or a file said is printed only through cleanLine or
// cleanText: a terminal obeys escape sequences, whoever they come from.

// cleanLine makes s safe to print as part of one line: control characters,
// format characters (among them the marks that reorder text) and line
// separators become U+FFFD.
func cleanLine(s string) string { return strings.Map(visible, s) }

// cleanText is cleanLine for text of several lines: newlines and tabs stay.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return visible(r)
	}, s)
}

func visible(r rune) rune {
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return unicode.ReplacementChar
	}
	return r
}

// A palette colours text, or does not.
type palette bool

// paletteFor colours only what goes to a terminal whose user has not said no
// (https://no-color.org).
func paletteFor(w io.Writer, lookupEnv func(string) (string, bool)) palette {
	if v, _ := lookupEnv("NO_COLOR"); v != "" {
		return false
	}
	if v, _ := lookupEnv("TERM"); v == "dumb" {
		return false
	}
	return palette(isTerminal(w))
}

func (p palette) good(s string) string  { return p.wrap("\x1b[32m", s) }
func (p palette) bad(s string) string   { return p.wrap("\x1b[31m", s) }
func (p palette) faint(s string) string { return p.wrap("\x1b[2m", s) }

func (p palette) wrap(code, s string) string {
	if !p || s == "" {
		return s
	}
	return code + s + "\x1b[0m"
}

// isTerminal reports whether f is an *os.File that is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
