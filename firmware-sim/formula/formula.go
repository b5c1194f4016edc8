// Package formula is arithmetic for signals: numbers, + - * / %, parentheses,
// the functions of [Functions], t (simulated seconds), pi, and the names of
// other signals, in single quotes where they are more than letters, digits, _
// and dots.
//
// It has no conditions, no state and no time of its own. A [Formula] is
// read-only and may be used by many at once.
package formula

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	longest = 1000 // bytes of a formula
	deepest = 50   // parentheses within each other
)

// A Formula is one that was read.
type Formula struct {
	Names []string // of signals, each once, in the order in which Eval takes them
	eval  node
}

type node func(t float64, values []float64) float64

// Eval is the formula's value at t seconds, given those of Names. It may be
// infinite or no number, as 1/0 is.
func (f *Formula) Eval(t float64, values []float64) float64 { return f.eval(t, values) }

type function struct {
	least, most int // arguments
	f           func(a []float64) float64
}

func functions() map[string]function {
	one := func(f func(float64) float64) function {
		return function{1, 1, func(a []float64) float64 { return f(a[0]) }}
	}
	return map[string]function{
		"sin": one(math.Sin), "cos": one(math.Cos), "abs": one(math.Abs), "sqrt": one(math.Sqrt),
		"exp": one(math.Exp), "log": one(math.Log), "floor": one(math.Floor), "round": one(math.Round),
		"min": {1, 9, slices.Min[[]float64]},
		"max": {1, 9, slices.Max[[]float64]},
		"pow": {2, 2, func(a []float64) float64 { return math.Pow(a[0], a[1]) }},
	}
}

// Functions returns the names of the functions.
func Functions() []string { return slices.Sorted(maps.Keys(functions())) }

// Parse reads a formula. The error says where it stopped and what would do.
func Parse(text string) (*Formula, error) {
	if len(text) > longest {
		return nil, fmt.Errorf("the formula has %d bytes, at most %d are read (make signals of its parts)", len(text), longest)
	}
	p := &parser{text: text, f: &Formula{}}
	eval, err := p.sum()
	if err == nil && p.peek() != 0 {
		err = p.unexpected("an operator")
	}
	if err != nil {
		return nil, err
	}
	p.f.eval = eval
	return p.f, nil
}

type parser struct {
	text  string
	at    int
	depth int
	f     *Formula
}

func (p *parser) peek() byte {
	for p.at < len(p.text) && strings.IndexByte(" \t\n", p.text[p.at]) >= 0 {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) unexpected(wanted string) error {
	found := "the end"
	if c := p.peek(); c != 0 {
		found = strconv.Quote(p.text[p.at:min(len(p.text), p.at+8)])
	}
	return fmt.Errorf("at character %d: %s, where %s should be (mend the formula)", p.at+1, found, wanted)
}

func (p *parser) sum() (node, error) {
	left, err := p.product()
	for err == nil {
		var right node
		l := left
		switch {
		case p.take('+'):
			right, err = p.product()
			left = func(t float64, v []float64) float64 { return l(t, v) + right(t, v) }
		case p.take('-'):
			right, err = p.product()
			left = func(t float64, v []float64) float64 { return l(t, v) - right(t, v) }
		default:
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) product() (node, error) {
	left, err := p.unary()
	for err == nil {
		var right node
		l := left
		switch {
		case p.take('*'):
			right, err = p.unary()
			left = func(t float64, v []float64) float64 { return l(t, v) * right(t, v) }
		case p.take('/'):
			right, err = p.unary()
			left = func(t float64, v []float64) float64 { return l(t, v) / right(t, v) }
		case p.take('%'):
			right, err = p.unary()
			left = func(t float64, v []float64) float64 { return math.Mod(l(t, v), right(t, v)) }
		default:
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) unary() (node, error) {
	if p.depth++; p.depth > deepest {
		return nil, fmt.Errorf("at character %d: more than %d within each other (make signals of the parts)", p.at+1, deepest)
	}
	defer func() { p.depth-- }()
	if p.take('-') {
		inner, err := p.unary()
		return func(t float64, v []float64) float64 { return -inner(t, v) }, err
	}
	if p.take('(') {
		inner, err := p.sum()
		if err == nil && !p.take(')') {
			err = p.unexpected("a )")
		}
		return inner, err
	}
	if p.take('\'') {
		name, _, closed := strings.Cut(p.text[p.at:], "'")
		if !closed {
			return nil, fmt.Errorf("at character %d: the ' is not closed (close it)", p.at)
		}
		p.at += len(name) + 1
		return p.signal(name), nil
	}
	switch c := p.peek(); {
	case c >= '0' && c <= '9' || c == '.':
		return p.number()
	case letter(c):
		return p.word()
	}
	return nil, p.unexpected("a number, a name or a (")
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func (p *parser) number() (node, error) {
	begin := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		exponent := (c == '-' || c == '+') && p.at > begin && p.text[p.at-1]|0x20 == 'e'
		if c >= '0' && c <= '9' || c == '.' || c|0x20 == 'e' || exponent {
			p.at++
			continue
		}
		break
	}
	v, err := strconv.ParseFloat(p.text[begin:p.at], 64)
	if err != nil {
		return nil, fmt.Errorf("at character %d: %q is not a number (write one like 2.5 or 1e3)", begin+1, p.text[begin:p.at])
	}
	return func(float64, []float64) float64 { return v }, nil
}

func (p *parser) word() (node, error) {
	begin := p.at
	for p.at < len(p.text) && (letter(p.text[p.at]) || p.text[p.at] == '.' || p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	word := p.text[begin:p.at]
	if p.take('(') {
		return p.call(word, begin)
	}
	switch word {
	case "t":
		return func(t float64, _ []float64) float64 { return t }, nil
	case "pi":
		return func(float64, []float64) float64 { return math.Pi }, nil
	}
	return p.signal(word), nil
}

func (p *parser) signal(name string) node {
	i := slices.Index(p.f.Names, name)
	if i < 0 {
		p.f.Names, i = append(p.f.Names, name), len(p.f.Names)
	}
	return func(_ float64, v []float64) float64 { return v[i] }
}

func (p *parser) call(name string, begin int) (node, error) {
	f, known := functions()[name]
	if !known {
		return nil, fmt.Errorf("at character %d: there is no function %q (use %s)", begin+1, name, strings.Join(Functions(), ", "))
	}
	var arguments []node
	for {
		a, err := p.sum()
		if err != nil {
			return nil, err
		}
		if arguments = append(arguments, a); !p.take(',') {
			break
		}
	}
	if !p.take(')') {
		return nil, p.unexpected("a , or a )")
	}
	if n := len(arguments); n < f.least || n > f.most {
		return nil, fmt.Errorf("at character %d: %s takes %d to %d numbers, not %d (mend the formula)", begin+1, name, f.least, f.most, n)
	}
	return func(t float64, v []float64) float64 {
		var a [9]float64
		for i, argument := range arguments {
			a[i] = argument(t, v)
		}
		return f.f(a[:len(arguments)])
	}, nil
}
