package main

import (
	"bytes"
	"testing"
)

func TestTerminalEscapesAndBidiMarksAreNotPrinted(t *testing.T) {
	f := func(in, line, text string) {
		t.Helper()
		if got := cleanLine(in); got != line {
			t.Errorf("cleanLine(%q) = %q, want %q", in, got, line)
		}
		if got := cleanText(in); got != text {
			t.Errorf("cleanText(%q) = %q, want %q", in, got, text)
		}
	}
	f("−9.8 °C für 5 m", "−9.8 °C für 5 m", "−9.8 °C für 5 m")
	f("a\x1b]0;title\x07b", "a\uFFFD]0;title\uFFFDb", "a\uFFFD]0;title\uFFFDb")
	f("a\u009b31mb", "a\uFFFD31mb", "a\uFFFD31mb")
	f("a\r\n\tb", "a\uFFFD\uFFFD\uFFFDb", "a\uFFFD\n\tb")
	f("a\u202eb\u2066c\u200ed", "a\uFFFDb\uFFFDc\uFFFDd", "a\uFFFDb\uFFFDc\uFFFDd")
	f("a\u2028b\x7fc", "a\uFFFDb\uFFFDc", "a\uFFFDb\uFFFDc")
	f("a\xffb", "a\uFFFDb", "a\uFFFDb")
}

func TestColourIsOnlyForATerminal(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	if p := paletteFor(new(bytes.Buffer), none); p.bad("x") != "x" {
		t.Error("a buffer is not a terminal, and got colour")
	}
	if got := palette(true).good("x"); got != "\x1b[32mx\x1b[0m" {
		t.Errorf("green x is %q", got)
	}
}
