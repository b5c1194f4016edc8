package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"tocsin/rules"
)

// The schemas are those of the types, with their comments as descriptions.
func TestSchemaIsThatOfTheDecodedTypes(t *testing.T) {
	comments := readComments(t, ".", "../../rules", "../webhook", "../preset")
	for _, s := range []struct {
		file, title string
		of          reflect.Type
	}{
		{"tocsin.json", "Tocsin: the main file", reflect.TypeFor[Config]()},
		{"rules.json", "Tocsin: a file of rules", reflect.TypeFor[rules.File]()},
	} {
		d := describer{t: t, comments: comments, defs: map[string]any{}}
		root := d.table(s.of)
		root["$schema"], root["title"], root["$defs"] = "https://json-schema.org/draft/2020-12/schema", s.title, d.defs
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(root); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("schema", s.file)
		if *update {
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { // #nosec G306 -- public
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, text.Bytes()) {
			t.Errorf("%s is not that of the types (run with -update; %v)", path, err)
		}
	}
}

// A describer makes schemas of types.
type describer struct {
	t        *testing.T
	comments map[string]string // by Type and Type.Field
	defs     map[string]any
}

type schemaTable = map[string]any

func oneOf(types ...any) schemaTable { return schemaTable{"anyOf": types} }

func kind(types ...string) schemaTable {
	if len(types) == 1 {
		return schemaTable{"type": types[0]}
	}
	return schemaTable{"type": types}
}

func list(of any) schemaTable { return schemaTable{"type": "array", "items": of} }

// leaves are the types that are no tables of their keys.
func leaves() map[reflect.Type]schemaTable {
	text, quantity := kind("string"), kind("string", "number")
	texts := oneOf(text, list(text))
	return map[reflect.Type]schemaTable{
		reflect.TypeFor[time.Duration](): quantity,
		reflect.TypeFor[time.Time]():     text, // a date of TOML is one of JSON's texts
		reflect.TypeFor[netip.Prefix]():  text,
		reflect.TypeFor[OneOrMore]():     texts,
		reflect.TypeFor[Raw]():           {}, // package preset says what it may be
		reflect.TypeFor[Param](): oneOf(kind("string", "number", "boolean"), schemaTable{
			"type": "object", "properties": schemaTable{"env": text, "file": text}, "additionalProperties": false,
		}),
		reflect.TypeFor[rules.Scope]():       texts,
		reflect.TypeFor[rules.Texts]():       texts,
		reflect.TypeFor[rules.Scalar]():      kind("string", "number", "boolean"),
		reflect.TypeFor[rules.Range]():       oneOf(quantity, list(quantity)),
		reflect.TypeFor[rules.Clear]():       oneOf(quantity, list(quantity)),
		reflect.TypeFor[rules.Renotify]():    oneOf(kind("boolean", "string"), list(text)),
		reflect.TypeFor[rules.MaxRate]():     kind("boolean", "string", "number"),
		reflect.TypeFor[rules.ScheduleRef](): oneOf(text, kind("object")),
		reflect.TypeFor[rules.Values]():      oneOf(text, schemaTable{"type": "object", "additionalProperties": text}),
		reflect.TypeFor[rules.Silent]():      oneOf(kind("boolean", "string"), kind("object")),
		reflect.TypeFor[rules.Severity]():    {"enum": []string{"info", "warning", "major", "critical"}},
	}
}

// value is the schema of what a key holds.
func (d *describer) value(of reflect.Type) schemaTable {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if leaf, ok := leaves()[of]; ok {
		return leaf
	}
	if reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) && of.Kind() != reflect.Struct ||
		reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) && !hasKeys(of) {
		return kind("string", "number")
	}
	switch of.Kind() {
	case reflect.String:
		return kind("string")
	case reflect.Bool:
		return kind("boolean")
	case reflect.Int:
		return kind("integer")
	case reflect.Float64:
		return kind("number")
	case reflect.Interface:
		return schemaTable{}
	case reflect.Slice:
		element := d.value(of.Elem())
		if of.Implements(reflect.TypeFor[oneAccepter]()) {
			return oneOf(element, list(element))
		}
		return list(element)
	case reflect.Map:
		return schemaTable{"type": "object", "additionalProperties": d.value(of.Elem())}
	case reflect.Struct:
		table := schemaTable{"$ref": "#/$defs/" + of.Name()}
		if _, ok := d.defs[of.Name()]; !ok {
			d.defs[of.Name()] = nil // of a type that holds itself
			d.defs[of.Name()] = d.table(of)
		}
		if reflect.PointerTo(of).Implements(reflect.TypeFor[textSetter]()) {
			return oneOf(kind("string"), table)
		}
		return table
	}
	d.t.Fatalf("no schema is known of %v", of)
	return nil
}

func hasKeys(of reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(of), func(f reflect.StructField) bool { return f.Tag.Get("toml") != "" })
}

// table is the schema of a struct that is written as a table.
func (d *describer) table(of reflect.Type) schemaTable {
	keys := schemaTable{}
	for _, f := range reflect.VisibleFields(of) {
		key := f.Tag.Get("toml")
		if key == "" || key == "-" {
			continue
		}
		owner := of
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
		value := d.value(f.Type)
		if text := d.comments[owner.Name()+"."+f.Name]; text != "" {
			value = maps.Clone(value)
			value["description"] = text
		}
		keys[key] = value
	}
	table := schemaTable{"type": "object", "properties": keys, "additionalProperties": false}
	if text := d.comments[of.Name()]; text != "" {
		table["description"] = text
	}
	return table
}

// readComments reads what is written at types and their fields.
func readComments(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	line := func(groups ...*ast.CommentGroup) string {
		for _, g := range groups {
			if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
				return text
			}
		}
		return ""
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				decl, ok := n.(*ast.GenDecl)
				if !ok {
					return true
				}
				for _, spec := range decl.Specs {
					typ, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					comments[typ.Name.Name] = line(typ.Doc, decl.Doc)
					if s, ok := typ.Type.(*ast.StructType); ok {
						for _, f := range s.Fields.List {
							for _, n := range f.Names {
								comments[typ.Name.Name+"."+n.Name] = line(f.Comment, f.Doc)
							}
						}
					}
				}
				return true
			})
		}
	}
	return comments
}

// What is good by the loader is good by the schema, and an unknown key is not.
func TestSchemaAcceptsTheExamplesAndNoUnknownKey(t *testing.T) {
	ruleFiles, err := filepath.Glob("../../configs/rules/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../rules/testdata/language/*.toml")
	if err != nil || len(ruleFiles) == 0 || len(more) == 0 {
		t.Fatal("no examples", err)
	}
	endpoints, err := filepath.Glob("../../configs/endpoints/*.toml")
	if err != nil || len(endpoints) == 0 {
		t.Fatal("no examples", err)
	}
	mains := append(endpoints, "../../configs/tocsin.toml")
	for _, c := range []struct {
		schema string
		files  []string
	}{{MainSchema(), mains}, {RulesSchema(), append(ruleFiles, more...)}} {
		v := newValidator(t, c.schema)
		for _, name := range c.files {
			var doc map[string]any
			if _, err := toml.DecodeFile(name, &doc); err != nil {
				t.Fatal(err)
			}
			for _, wrong := range v.check("", v.root, plain(t, doc)) {
				t.Errorf("%s: %s", name, wrong)
			}
			doc["tabel"] = true
			if len(v.check("", v.root, plain(t, doc))) == 0 {
				t.Errorf("%s: an unknown key is accepted", name)
			}
		}
	}
}

// plain is a document as JSON has it.
func plain(t *testing.T, doc map[string]any) any {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A validator knows as much of JSON Schema as the schemas use.
type validator struct{ root, defs map[string]any }

func newValidator(t *testing.T, text string) *validator {
	t.Helper()
	v := &validator{}
	if err := json.Unmarshal([]byte(text), &v.root); err != nil {
		t.Fatal(err)
	}
	v.defs, _ = v.root["$defs"].(map[string]any)
	return v
}

func (v *validator) check(at string, schema map[string]any, value any) (wrong []string) {
	if ref, ok := schema["$ref"].(string); ok {
		return v.check(at, v.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), value)
	}
	if options := asList(schema["anyOf"]); len(options) > 0 && !slices.ContainsFunc(options, func(s any) bool {
		return len(v.check(at, s.(map[string]any), value)) == 0
	}) {
		wrong = append(wrong, at+": is none of what it may be")
	}
	if enum := asList(schema["enum"]); len(enum) > 0 && !slices.Contains(enum, value) {
		wrong = append(wrong, fmt.Sprintf("%s: %v is not one of %v", at, value, enum))
	}
	types := asList(schema["type"])
	if one, ok := schema["type"].(string); ok {
		types = []any{one}
	}
	if len(types) > 0 && !slices.ContainsFunc(types, func(name any) bool { return isOf(name.(string), value) }) {
		return append(wrong, fmt.Sprintf("%s: %v is not of %v", at, value, types))
	}
	switch value := value.(type) {
	case []any:
		for i, e := range value {
			if items, ok := schema["items"].(map[string]any); ok {
				wrong = append(wrong, v.check(fmt.Sprintf("%s.%d", at, i), items, e)...)
			}
		}
	case map[string]any:
		keys, _ := schema["properties"].(map[string]any)
		for name, e := range value {
			if key, ok := keys[name].(map[string]any); ok {
				wrong = append(wrong, v.check(at+"."+name, key, e)...)
			} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
				wrong = append(wrong, v.check(at+"."+name, more, e)...)
			} else if schema["additionalProperties"] == false {
				wrong = append(wrong, at+"."+name+": unknown key")
			}
		}
	}
	return wrong
}

func asList(v any) []any {
	l, _ := v.([]any)
	return l
}

// isOf reports whether a value is of a type of JSON Schema.
func isOf(name string, value any) bool {
	switch v := value.(type) {
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}
