package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// counts is what was found in all files.
type counts struct {
	fileLines    []int // of each file of code
	testLines    []int // of each test file
	supportLines int

	// One entry for each function of code.
	funcLines, branches, nesting, params []int

	methods              []int // of each interface
	exported, documented int
	inits, sleeps        int
}

// count reads all Go files of a repository.
func count(root fs.FS) (*counts, error) {
	c := &counts{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && leftOut(name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return c.addFile(name, source)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the repository: %w", err)
	}
	return c, nil
}

func leftOut(dir string) bool {
	base := path.Base(dir)
	return base == "testdata" || base == "examples" || base != "." && strings.HasPrefix(base, ".")
}

func (c *counts) addFile(name string, source []byte) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	lines := bytes.Count(source, []byte("\n"))
	switch {
	case ast.IsGenerated(file):
	case strings.HasSuffix(name, "_test.go"):
		c.testLines = append(c.testLines, lines)
		c.sleeps += bytes.Count(source, []byte("time.Sleep("))
	case strings.HasSuffix(file.Name.Name, "test"):
		c.supportLines += lines
	default:
		c.fileLines = append(c.fileLines, lines)
		c.addCode(fset, file)
	}
	return nil
}

func (c *counts) addCode(fset *token.FileSet, file *ast.File) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			c.addFunc(fset, decl)
		case *ast.GenDecl:
			c.addNames(decl)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if i, ok := n.(*ast.InterfaceType); ok && i.Methods.NumFields() > 0 {
			c.methods = append(c.methods, i.Methods.NumFields())
		}
		return true
	})
}

func (c *counts) addFunc(fset *token.FileSet, f *ast.FuncDecl) {
	if f.Recv == nil && f.Name.Name == "init" {
		c.inits++
	}
	if f.Name.IsExported() && receiverExported(f) {
		c.addExported(f.Doc)
	}
	if f.Body == nil {
		return
	}
	c.funcLines = append(c.funcLines, fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1)
	c.params = append(c.params, f.Type.Params.NumFields())
	c.branches = append(c.branches, branches(f.Body))
	c.nesting = append(c.nesting, depth(f.Body))
}

// receiverExported reports whether users can reach the method, or function.
func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if ok {
			exported = id.IsExported()
		}
		return !ok
	})
	return exported
}

func (c *counts) addExported(docs ...*ast.CommentGroup) {
	c.exported++
	if slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d.Text() != "" }) {
		c.documented++
	}
}

// addNames counts types, constants and variables; a comment on a group
// documents all of it.
func (c *counts) addNames(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				c.addExported(decl.Doc, spec.Doc)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() {
					c.addExported(decl.Doc, spec.Doc, spec.Comment)
				}
			}
		}
	}
}

// branches counts the places where a function's way forks.
func branches(body *ast.BlockStmt) (n int) {
	ast.Inspect(body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// depth is how deep statements that fork are nested. An else-if is as deep as
// its if.
func depth(node ast.Node) (deepest int) {
	ast.Inspect(node, func(n ast.Node) bool {
		if n == node {
			return true
		}
		switch n := n.(type) {
		case *ast.IfStmt:
			deepest = max(deepest, depthOfIf(n))
			return false
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			deepest = max(deepest, 1+depth(n))
			return false
		}
		return true
	})
	return deepest
}

func depthOfIf(n *ast.IfStmt) int {
	deepest := 1 + depth(n.Body)
	switch other := n.Else.(type) {
	case *ast.IfStmt:
		return max(deepest, depthOfIf(other))
	case *ast.BlockStmt:
		return max(deepest, 1+depth(other))
	}
	return deepest
}

// percentile is the smallest value that p percent of all do not exceed.
func percentile(values []int, p int) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return float64(sorted[max(0, (len(sorted)*p+99)/100-1)])
}

func sum(values []int) (n int) {
	for _, v := range values {
		n += v
	}
	return n
}

func over(values []int, limit int) (n int) {
	for _, v := range values {
		if v > limit {
			n++
		}
	}
	return n
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
