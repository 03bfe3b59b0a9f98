package file

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/textfile"
)

// WriteManifest counts and sums the named files of a folder and writes their manifest beside them, for systems that
// export without one. It notices no export that had broken off before. Without names it takes people.csv, groups.csv
// and people.json, as far as they are there.
func WriteManifest(dir string, written time.Time, names ...string) (Manifest, error) {
	optional := len(names) == 0
	if optional {
		names = []string{"people.csv", "groups.csv", "people.json"}
	}
	m := Manifest{Written: written.UTC().Truncate(time.Second), Files: map[string]File{}}
	for _, name := range names {
		if !isFileName(name) || !isCSV(name) && !isJSON(name) {
			return Manifest{}, fmt.Errorf("%.100q is not the name of a CSV or JSON file", name)
		}
		described, err := describe(dir, name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Manifest{}, err
		}
		m.Files[name] = described
	}
	if len(m.Files) == 0 {
		return Manifest{}, fmt.Errorf("there is neither people.csv nor people.json in %s", dir)
	}
	text, err := json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return Manifest{}, err
	}
	return m, replace(filepath.Join(dir, manifestName), append(text, '\n'))
}

func describe(dir, name string) (File, error) {
	from, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return File{}, err
	}
	defer from.Close()
	hash := sha256.New()
	o := &opened{name: name, text: textfile.NewReader(io.TeeReader(from, hash))}
	if isJSON(name) {
		if err = readJSON(o, reading.New(func(source.Page) error { return nil })); err != nil {
			return File{}, err
		}
		return File{Rows: o.rows, Groups: &o.groups, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
	}
	t, err := newTable(name, o.text, 0)
	if err != nil {
		return File{}, err
	}
	for {
		_, _, err = t.next()
		if err == io.EOF {
			return File{Rows: o.rows, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
		}
		if err != nil {
			return File{}, err
		}
		o.rows++
	}
}

// replace writes a file as a whole: whoever reads meanwhile finds the old one or the new one.
func replace(path string, text []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".manifest-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
