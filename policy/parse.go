package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/textfile"
)

// Parse reads a policy file in YAML or JSON, strictly, and applies the defaults. The error is of type Errors and holds
// every problem found, each with its place; name is the file's name in it. A key's value is never repeated in an error.
func Parse(name string, data []byte) (*Policy, error) { return parse(name, data, MaxFile) }

// ParseWritten is Parse for a policy as Policy.Canonical wrote it: with its defaults it is larger than the file was.
func ParseWritten(name string, data []byte) (*Policy, error) { return parse(name, data, 8*MaxFile) }

func parse(name string, data []byte, most int) (*Policy, error) {
	root, data, err := document(name, data, most)
	if err != nil {
		return nil, err
	}
	r := &reader{file: name, at: map[string]*yaml.Node{}, conditions: map[string]*condition.Condition{}}
	for line := range bytes.Lines(data) {
		r.lines = append(r.lines, []rune(string(line)))
	}
	p := r.policy(root)
	r.check(p)
	if len(r.problems) == 0 {
		p.conditions = r.conditions
		return p, nil
	}
	problems := r.problems.sorted()
	if r.dropped > 0 {
		problems = append(problems, Problem{File: name,
			Message: fmt.Sprintf("%d more problems are not shown; mend these first", r.dropped)})
	}
	return nil, problems
}

// document reads the one YAML document of a file as a tree. Anchors and aliases are left to the reader, which refuses
// them; the tree never expands one. It returns the text that was read as well.
func document(name string, data []byte, most int) (*yaml.Node, []byte, error) {
	refuse := func(line, column int, format string, args ...any) (*yaml.Node, []byte, error) {
		return nil, nil, Errors{{File: name, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}}
	}
	if len(data) > most {
		return refuse(0, 0, "the file has %d bytes; a policy file has at most %d", len(data), most)
	}
	data, err := textfile.Decode(data)
	if err != nil {
		return refuse(0, 0, "the file is not UTF-8; save it as UTF-8")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return refuse(0, 0, "the file is empty; begin with version: 1")
	} else if err != nil {
		line, column, message := place(data, err)
		return refuse(line, column, "%s", message)
	}
	if err := decoder.Decode(&second); err == nil {
		return refuse(max(second.Line, 1), max(second.Column, 1),
			"a second document begins here; keep one policy per file")
	} else if !errors.Is(err, io.EOF) {
		line, column, message := place(data, err)
		return refuse(line, column, "%s", message)
	}
	if len(doc.Content) == 0 {
		return refuse(0, 0, "the file is empty; begin with version: 1")
	}
	return doc.Content[0], data, nil
}

var (
	syntaxError  = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	unknownAlias = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced$`)
)

// place finds where the YAML library's complaint belongs.
func place(data []byte, err error) (line, column int, message string) {
	if m := syntaxError.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		return line, 1, "not valid YAML: " + m[2] + "; mend the line or the one before it"
	}
	if m := unknownAlias.FindStringSubmatch(err.Error()); m != nil {
		at := bytes.Index(data, []byte("*"+m[1]))
		before := data[:max(at, 0)]
		return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n'),
			fmt.Sprintf("YAML reads *%s as an alias; write a name that begins with * in quotes", m[1])
	}
	return 1, 1, "not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
}
