package exechandler

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// compiler compiles templates, and gathers what is wrong with them and which
// fields they use.
type compiler struct {
	errs []error
	used fields
}

// field is one setting that is a template.
type field struct {
	key  string // as the user knows it: handler.exec.args[2]
	tmpl *template.Template
}

// compile returns the template of a setting. Known are the fields it may use.
func (c *compiler) compile(key, text string, known []string) field {
	t, err := template.New(key).Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		c.errs = append(c.errs, aboutKey(key, err))
		return field{key: key}
	}
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		w := walker{tmpl: t, tree: part.Tree, root: part.Name() == key, known: known, used: c.used}
		w.list(part.Root)
		for _, problem := range w.problems {
			c.errs = append(c.errs, fmt.Errorf("%s: %s", key, problem))
		}
	}
	return field{key: key, tmpl: t}
}

// render executes the template.
func (f field) render(data any) ([]byte, error) {
	var buf bytes.Buffer
	if err := f.tmpl.Execute(&buf, data); err != nil {
		return nil, aboutKey(f.key, err)
	}
	if buf.Bytes() == nil {
		return []byte{}, nil // nothing is not nil: that would be a tombstone
	}
	return buf.Bytes(), nil
}

// text is the rendered text, "" of a setting that is not there.
func (f *field) text(data any) (string, error) {
	if f == nil {
		return "", nil
	}
	b, err := f.render(data)
	return string(b), err
}

// aboutKey lets an error of text/template begin with the setting, which is also
// the name of the template.
func aboutKey(key string, err error) error {
	message := strings.TrimPrefix(err.Error(), "template: ")
	if strings.HasPrefix(message, key) {
		return errors.New(message)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// walker walks one template: it lets every pipeline that prints end in
// printFunc, has truthFunc look at what is decided about, and notes the fields
// that are used.
type walker struct {
	tmpl  *template.Template
	tree  *parse.Tree
	root  bool // dot is the data, not something else
	known []string

	used     fields
	problems []string
}

func (w *walker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n)
	}
}

func (w *walker) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ActionNode:
		w.pipe(n.Pipe)
		if len(n.Pipe.Decl) == 0 {
			w.append(n.Pipe, printFunc)
		}
	case *parse.IfNode:
		w.append(n.Pipe, truthFunc)
		w.branch(&n.BranchNode, w.root)
	case *parse.RangeNode:
		w.branch(&n.BranchNode, false)
	case *parse.WithNode:
		w.append(n.Pipe, truthFunc)
		w.branch(&n.BranchNode, false)
	case *parse.TemplateNode:
		w.pipe(n.Pipe)
		if part := w.tmpl.Lookup(n.Name); part == nil || part.Tree == nil {
			w.problems = append(w.problems, fmt.Sprintf("there is no template %q", n.Name))
		}
	}
}

// branch walks if, range and with; root says whether dot stays what it is
// inside.
func (w *walker) branch(n *parse.BranchNode, root bool) {
	w.pipe(n.Pipe)
	outside := w.root
	w.root = root
	w.list(n.List)
	w.root = outside
	w.list(n.ElseList)
}

// append lets a pipeline end in a function.
func (w *walker) append(p *parse.PipeNode, function string) {
	p.Cmds = append(p.Cmds, step(p.Pos, parse.NewIdentifier(function).SetTree(w.tree).SetPos(p.Pos)))
}

func step(at parse.Pos, args ...parse.Node) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: args}
}

func (w *walker) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for i := 0; i < len(p.Cmds); i++ {
		cmd := p.Cmds[i]
		for _, arg := range cmd.Args {
			w.argument(arg)
		}
		if !decides(cmd) {
			continue
		}
		for j, arg := range cmd.Args[1:] {
			cmd.Args[j+1] = w.truthOf(arg)
		}
		if i > 0 { // its last argument is what comes through the pipe
			truth := step(cmd.Pos, parse.NewIdentifier(truthFunc).SetTree(w.tree).SetPos(cmd.Pos))
			p.Cmds = slices.Insert(p.Cmds, i, truth)
			i++
		}
	}
}

// decides reports whether a command looks at the truth of its arguments.
func decides(cmd *parse.CommandNode) bool {
	name, ok := cmd.Args[0].(*parse.IdentifierNode)
	return ok && slices.Contains([]string{"and", "or", "not"}, name.Ident)
}

// truthOf hands an argument through truthFunc.
func (w *walker) truthOf(arg parse.Node) parse.Node {
	switch arg.(type) {
	case *parse.NilNode, *parse.BoolNode, *parse.NumberNode, *parse.StringNode:
		return arg
	}
	p := &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{step(arg.Position(), arg)}}
	w.append(p, truthFunc)
	return p
}

// argument notes fields. Inside of range and with, and in templates of their
// own, a name may be that of something else: it is noted all the same, which
// costs a little room in tasks and nothing more.
func (w *walker) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.FieldNode:
		w.use(n.Ident[0], w.root)
	case *parse.VariableNode:
		switch {
		case len(n.Ident) > 1:
			w.use(n.Ident[1], n.Ident[0] == "$" && w.root)
		case n.Ident[0] == "$":
			w.useAll()
		}
	case *parse.DotNode:
		w.useAll()
	case *parse.ChainNode:
		w.argument(n.Node)
		w.use(n.Field[0], false)
	case *parse.PipeNode:
		w.pipe(n)
	}
}

// use notes a field; certain says that it is one of the data.
func (w *walker) use(name string, certain bool) {
	if slices.Contains(w.known, name) {
		w.note(name)
	} else if certain {
		w.problems = append(w.problems, fmt.Sprintf("there is no .%s here, only .%s", name, strings.Join(w.known, ", .")))
	}
}

func (w *walker) useAll() {
	for _, name := range w.known {
		w.note(name)
	}
}

func (w *walker) note(name string) {
	if w.used != nil {
		w.used[name] = true
	}
}
