package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A comparison that stops at the first byte that differs tells by its duration how
// many were right. So in the files that see signatures, secrets and tokens texts
// are compared by hmac.Equal and subtle, but for these functions, which compare
// what is public.
var comparesWhatIsPublic = map[string][]string{
	"secret.go":        {"prefixError", "base64Error", "TextSecret"}, // a text with itself, trimmed
	"verify.go":        {"readSeconds"},                              // a timestamp
	"verifymessage.go": {"readMessage", "readMessageSignature"},      // names of signatures and of what they cover
}

func TestNoSignatureIsComparedByteByByte(t *testing.T) {
	lookup := exports(t)
	seen := map[string]bool{}
	for dir, names := range map[string][]string{
		".":      {"sign.go", "scheme.go", "secret.go", "key.go", "verify.go", "verifymessage.go", "httpsig.go"},
		"../api": {"token.go"},
	} {
		fset := token.NewFileSet()
		var files []*ast.File
		paths, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if strings.HasSuffix(p, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup), Sizes: types.SizesFor("gc", "amd64")}
		if _, err := conf.Check("tocsin/"+dir, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			name := filepath.Base(fset.Position(f.Pos()).Filename)
			if !slices.Contains(names, name) {
				continue
			}
			seen[name] = true
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || slices.Contains(comparesWhatIsPublic[name], fn.Name.Name) {
					continue
				}
				for _, at := range shortComparisons(fn, info) {
					t.Errorf("%s: %s compares texts that are not constant, and stops at the first difference", fset.Position(at), fn.Name.Name)
				}
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("only %v were looked at", seen)
	}
}

// shortComparisons are where a function compares two texts, neither of them a
// constant, by what stops at the first difference.
func shortComparisons(fn *ast.FuncDecl, info *types.Info) (at []token.Pos) {
	secretive := func(e ast.Expr) bool {
		tv := info.Types[e]
		if tv.Value != nil || tv.IsNil() {
			return false
		}
		switch u := tv.Type.Underlying().(type) {
		case *types.Basic:
			return u.Info()&types.IsString != 0 && !isNamed(tv.Type, "Scheme")
		case *types.Array:
			return true
		case *types.Slice:
			return true
		}
		return false
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && secretive(n.X) && secretive(n.Y) {
				at = append(at, n.Pos())
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
				if f, ok := info.Uses[sel.Sel].(*types.Func); ok && f.Pkg() != nil && slices.Contains([]string{
					"bytes.Equal", "bytes.Compare", "bytes.HasPrefix", "slices.Equal", "slices.Compare", "strings.EqualFold", "strings.Compare", "reflect.DeepEqual",
				}, f.Pkg().Name()+"."+f.Name()) {
					if !slices.ContainsFunc(n.Args, func(a ast.Expr) bool { return info.Types[a].Value != nil }) {
						at = append(at, n.Pos())
					}
				}
			}
		}
		return true
	})
	return at
}

func isNamed(t types.Type, name string) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Name() == name
}

// exports finds what the compiler wrote of packages.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Export", ".", "../api").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}
