package preset

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// maxLeaf bounds the text that one leaf becomes.
const maxLeaf = 1 << 20

// A leaf is a template or a constant. A leaf that is exactly one action becomes
// what the action is: a number stays a number, and what is missing is left out.
type leaf struct {
	constant any
	template *template.Template // nil: the constant
	single   bool
	dialect  dialect
	limit    int // characters; 0: as many as there are
}

// A fault is what is wrong with a leaf.
type fault struct {
	fact, remedy, name string
	known              []string
}

func (f *fault) Error() string { return f.fact }

// parseLeaf reads a text. Names that are not in the shape are faults here, and
// not when the template is used.
func parseLeaf(s string, shape *shape) (*leaf, *fault) {
	if !strings.Contains(s, "{{") {
		return &leaf{constant: s}, nil
	}
	t, err := template.New("t").Funcs(functions()).Parse(s)
	if err != nil {
		return nil, syntaxFault(err)
	}
	if t.Tree == nil || t.Root == nil {
		return &leaf{constant: ""}, nil
	}
	if len(t.Templates()) > 1 {
		return nil, &fault{fact: "a template is defined inside a template", remedy: "write the text where it is needed"}
	}
	c := checker{shape: shape, known: allowed()}
	c.list(t.Root)
	if c.fault != nil {
		return nil, c.fault
	}
	l := &leaf{template: t}
	if len(t.Root.Nodes) == 1 {
		_, l.single = t.Root.Nodes[0].(*parse.ActionNode)
	}
	return l, nil
}

func syntaxFault(err error) *fault {
	message := err.Error()
	if _, rest, ok := strings.Cut(message, "template: t:"); ok {
		_, message, _ = strings.Cut(rest, ": ")
	}
	if name, ok := strings.CutPrefix(message, `function "`); ok {
		name, _, _ = strings.Cut(name, `"`)
		return unknownFunction(name, allowed())
	}
	return &fault{fact: "is no template: " + message, remedy: `write it as in "{{ .device.id }} is {{ .reading.value }}"`}
}

func unknownFunction(name string, known []string) *fault {
	return &fault{fact: fmt.Sprintf("templates have no function %q", name), remedy: "the functions are ", name: name, known: known}
}

// A checker walks a template: it refuses what could repeat itself, and names that
// no event has, and ends every action in put.
type checker struct {
	shape *shape
	known []string
	fault *fault // the first
}

func (c *checker) fail(f *fault) {
	if c.fault == nil {
		c.fault = f
	}
}

func (c *checker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			c.pipe(n.Pipe)
			root := &parse.VariableNode{NodeType: parse.NodeVariable, Pos: n.Pos, Ident: []string{"$"}}
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos,
				Args: []parse.Node{parse.NewIdentifier(put).SetTree(nil).SetPos(n.Pos), root}})
		case *parse.IfNode:
			c.pipe(n.Pipe)
			c.list(n.List)
			c.list(n.ElseList)
		default:
			word, _, _ := strings.Cut(strings.Trim(n.String(), "{}- "), " ")
			c.fail(&fault{fact: fmt.Sprintf("templates have no %q", word), remedy: "if, else and end are what there is; join writes a list or a table"})
		}
	}
}

func (c *checker) pipe(p *parse.PipeNode) {
	if len(p.Decl) > 0 {
		c.fail(&fault{fact: "templates have no variables of their own", remedy: "write the value where it is needed"})
	}
	for _, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			c.argument(arg)
		}
	}
}

func (c *checker) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.FieldNode:
		c.names(n.Ident)
	case *parse.VariableNode:
		c.names(n.Ident[1:])
	case *parse.IdentifierNode:
		if !slices.Contains(c.known, n.Ident) {
			c.fail(unknownFunction(n.Ident, c.known))
		}
	case *parse.PipeNode:
		c.pipe(n)
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
	default:
		c.names(nil)
	}
}

// names checks that a path of names leads to a value.
func (c *checker) names(path []string) {
	if len(path) == 0 {
		c.fail(&fault{fact: "a dot without a name stands for everything", remedy: "name one thing, as in .title; all of it as JSON is .event"})
		return
	}
	at := c.shape
	for i, name := range path {
		switch {
		case at.open && i == len(path)-1:
			return
		case at.open:
			at = &shape{}
		case at.fields == nil:
			c.fail(&fault{fact: fmt.Sprintf("%s is a value and has no parts", "."+strings.Join(path[:i], ".")), remedy: "remove what follows it"})
			return
		case at.fields[name] == nil:
			f := &fault{fact: fmt.Sprintf("no event has %s", "."+strings.Join(path[:i+1], ".")), remedy: "the names there are ",
				name: name, known: slices.Sorted(maps.Keys(at.fields))}
			if path[0] == "with" && len(f.known) == 0 {
				f.remedy = fmt.Sprintf("add with = { %s = … } to the endpoint", name)
			}
			c.fail(f)
			return
		default:
			at = at.fields[name]
		}
	}
}

// A rendering is one leaf on its way to being text.
type rendering struct {
	leaf   *leaf
	value  any   // of a single action
	limits []int // of the actions, in their order; 0: none
	sizes  []int
}

// put takes what an action has come to. The scope's unnamed entry is the
// rendering under way.
func (s scope) put(v any) (string, error) {
	r, _ := s[""].(*rendering)
	if r.leaf.single {
		r.value = v
		return "", nil
	}
	limit := 0
	if i := len(r.sizes); i < len(r.limits) {
		limit = r.limits[i]
	}
	out := r.leaf.dialect.write(text(v), limit)
	r.sizes = append(r.sizes, utf8.RuneCountInString(out))
	return out, nil
}

// render returns the leaf's value: nil is left out.
func (l *leaf) render(s scope) (any, error) {
	if l.template == nil {
		if c, ok := l.constant.(string); ok && l.limit > 0 {
			return truncate(c, l.limit), nil
		}
		return l.constant, nil
	}
	r := &rendering{leaf: l}
	out, err := l.execute(s, r)
	if err != nil {
		return nil, err
	}
	if l.single {
		if v, ok := r.value.(string); ok {
			return l.dialect.write(v, l.limit), nil
		}
		return r.value, nil
	}
	for l.limit > 0 {
		over := utf8.RuneCountInString(out) - l.limit
		if over <= 0 {
			break
		}
		// The longest value gives way; markup around it stays whole.
		longest := 0
		for i, n := range r.sizes {
			if n > r.sizes[longest] {
				longest = i
			}
		}
		if len(r.sizes) == 0 || r.sizes[longest] <= 1 {
			return truncate(out, l.limit), nil
		}
		next := &rendering{leaf: l, limits: make([]int, len(r.sizes))}
		copy(next.limits, r.limits)
		next.limits[longest] = max(r.sizes[longest]-over, 1)
		r = next
		if out, err = l.execute(s, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *leaf) execute(s scope, r *rendering) (string, error) {
	s[""] = r
	defer delete(s, "")
	b := &bounded{left: maxLeaf}
	if err := l.template.Execute(b, s); err != nil {
		return "", plainError(err)
	}
	return b.String(), nil
}

// plainError is a template's error without where in its text it was.
func plainError(err error) error {
	message := err.Error()
	if _, rest, ok := strings.Cut(message, "template: t:"); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			message = strings.TrimPrefix(after, `executing "t" `)
		}
	}
	return errors.New(message)
}

// bounded is a buffer that refuses to grow beyond what is sane.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("a text of more than %d bytes", maxLeaf)
	}
	return b.Buffer.Write(p)
}

// string renders the leaf as text.
func (l *leaf) string(s scope) (string, error) {
	v, err := l.render(s)
	return text(v), err
}
