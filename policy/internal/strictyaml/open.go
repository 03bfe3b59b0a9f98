package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/textfile"
)

// Open returns a reader of a file, and the root of the one YAML document in it. The reader refuses anchors and aliases,
// so that none is ever expanded. The error is of type Errors; holds says what such a file holds one of.
func Open(name string, data []byte, holds string) (*Reader, *yaml.Node, error) {
	refuse := func(line, column int, format string, args ...any) (*Reader, *yaml.Node, error) {
		return nil, nil, Errors{{File: name, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}}
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
			"a second document begins here; keep one %s per file", holds)
	} else if !errors.Is(err, io.EOF) {
		line, column, message := place(data, err)
		return refuse(line, column, "%s", message)
	}
	if len(doc.Content) == 0 {
		return refuse(0, 0, "the file is empty; begin with version: 1")
	}
	r := &Reader{file: name, at: map[string]*yaml.Node{}}
	for line := range bytes.Lines(data) {
		r.lines = append(r.lines, []rune(string(line)))
	}
	return r, doc.Content[0], nil
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
