package preset

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is the key of a table that is left out unless its template comes to
// something.
const conditionKey = "$if"

// A node is a part of a body: a leaf, a table or a list.
type node struct {
	leaf  *leaf
	when  *leaf // nil: always
	names []string
	table map[string]*node
	list  []*node
}

// A treeReader makes nodes of what a TOML file says.
type treeReader struct {
	shape  *shape
	markup map[string]dialect // by path below the body; what is deeper is of the same dialect
	limits map[string]int     // by path below the body
	bad    *problems
}

// read makes the node of a value, which is at path; below is its path in the body.
func (r *treeReader) read(value any, path, below []string) *node {
	switch value := value.(type) {
	case string:
		return &node{leaf: r.leaf(value, path, below)}
	case map[string]any:
		n := &node{table: make(map[string]*node, len(value))}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if name == conditionKey {
				s, _ := value[name].(string)
				n.when = r.leaf(s, under(path, name), nil)
				continue
			}
			n.names = append(n.names, name)
			n.table[name] = r.read(value[name], under(path, name), under(below, name))
		}
		return n
	case []map[string]any:
		n := &node{list: make([]*node, len(value))}
		for i, e := range value {
			n.list[i] = r.read(e, under(path, strconv.Itoa(i)), under(below, strconv.Itoa(i)))
		}
		return n
	case []any:
		n := &node{list: make([]*node, len(value))}
		for i, e := range value {
			n.list[i] = r.read(e, under(path, strconv.Itoa(i)), under(below, strconv.Itoa(i)))
		}
		return n
	case float64:
		if !finite(value) {
			r.bad.add(path, "is no number that can be sent", "write a finite number")
		}
	case time.Time:
		return &node{leaf: &leaf{constant: value.Format(time.RFC3339Nano)}}
	}
	return &node{leaf: &leaf{constant: value}}
}

func (r *treeReader) leaf(s string, path, below []string) *leaf {
	l, f := parseLeaf(s, r.shape)
	if f != nil {
		*r.bad = append(*r.bad, Problem{Path: path, Fact: f.fact, Remedy: f.remedy, Name: f.name, Known: f.known})
		return &leaf{constant: ""}
	}
	if below == nil {
		return l
	}
	l.limit = r.limits[strings.Join(below, ".")]
	for i := len(below); i >= 0; i-- {
		if d, ok := r.markup[strings.Join(below[:i], ".")]; ok {
			l.dialect = d
			break
		}
	}
	return l
}

// A leafError says which leaf of a body could not be rendered.
type leafError struct {
	path []string
	err  error
}

func (e *leafError) Error() string { return strings.Join(e.path, ".") + ": " + e.err.Error() }

// render returns the node's value: nil is left out.
func (n *node) render(s scope, path []string) (any, error) {
	if n.when != nil {
		v, err := n.when.render(s)
		if err != nil {
			return nil, &leafError{under(path, conditionKey), err}
		}
		if v == nil || v == "" || v == false {
			return nil, nil
		}
	}
	switch {
	case n.leaf != nil:
		v, err := n.leaf.render(s)
		if err != nil {
			return nil, &leafError{path, err}
		}
		return v, nil
	case n.table != nil:
		table := make(map[string]any, len(n.names))
		for _, name := range n.names {
			v, err := n.table[name].render(s, under(path, name))
			if err != nil {
				return nil, err
			}
			if v != nil {
				table[name] = v
			}
		}
		return table, nil
	}
	list := make([]any, 0, len(n.list))
	for i, e := range n.list {
		v, err := e.render(s, under(path, strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		if v != nil {
			list = append(list, v)
		}
	}
	return list, nil
}

// contents are how a body is written.
func contents() []string { return []string{"form", "json", "none", "text", "xml"} }

func contentType(content string) string {
	switch content {
	case "form":
		return "application/x-www-form-urlencoded"
	case "text":
		return "text/plain; charset=utf-8"
	case "xml":
		return "application/xml; charset=utf-8"
	}
	return "application/json"
}

// encode writes a rendered body.
func encode(content string, v any) ([]byte, error) {
	var b bytes.Buffer
	var err error
	switch content {
	case "none":
	case "form":
		err = encodeForm(&b, v)
	case "text":
		b.WriteString(text(v))
	case "xml":
		err = encodeXML(&b, v)
	default:
		if raw, ok := v.(json.RawMessage); ok {
			return raw, nil // as the event was stored, in its order
		}
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err = e.Encode(v)
		b.Truncate(max(b.Len()-1, 0)) // the line end
	}
	return b.Bytes(), err
}

func encodeForm(b *bytes.Buffer, v any) error {
	table, ok := v.(map[string]any)
	if !ok {
		return errors.New("a form is a table of fields")
	}
	form := url.Values{}
	for name, v := range table {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				form.Add(name, text(e))
			}
		case map[string]any:
			return fmt.Errorf("the field %s of a form cannot be a table", name)
		default:
			form.Set(name, text(v))
		}
	}
	b.WriteString(form.Encode())
	return nil
}

// encodeXML writes a table of one element. A name that begins with @ is an
// attribute, #text is the text beside them; a list repeats its element.
func encodeXML(b *bytes.Buffer, v any) error {
	root, ok := v.(map[string]any)
	if !ok || len(root) != 1 {
		return errors.New("an XML document is a table with one key, its root element")
	}
	b.WriteString(xml.Header)
	for name, v := range root {
		if _, list := v.([]any); list {
			return errors.New("an XML document has one root element, and not a list of them")
		}
		return element(b, name, v)
	}
	return nil
}

func element(b *bytes.Buffer, name string, v any) error {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			if err := element(b, name, e); err != nil {
				return err
			}
		}
		return nil
	}
	if !isXMLName(name) {
		return fmt.Errorf("%q is no name of an XML element", name)
	}
	b.WriteString("<" + name)
	table, ok := v.(map[string]any)
	if !ok {
		table = map[string]any{"#text": v}
	}
	names := slices.Sorted(maps.Keys(table))
	for _, n := range names {
		attribute, ok := strings.CutPrefix(n, "@")
		if !ok {
			continue
		}
		if !isXMLName(attribute) {
			return fmt.Errorf("%q is no name of an XML attribute", n)
		}
		b.WriteString(" " + attribute + `="`)
		escapeXML(b, text(table[n]))
		b.WriteByte('"')
	}
	b.WriteByte('>')
	for _, n := range names {
		switch {
		case n == "#text":
			escapeXML(b, text(table[n]))
		case !strings.HasPrefix(n, "@"):
			if err := element(b, n, table[n]); err != nil {
				return err
			}
		}
	}
	b.WriteString("</" + name + ">")
	return nil
}

func escapeXML(w io.Writer, s string) { _ = xml.EscapeText(w, []byte(s)) } // a buffer's Write does not fail

func isXMLName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.' && c != ':') {
			return false
		}
	}
	return s != ""
}
