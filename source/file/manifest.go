package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/textfile"
)

const (
	manifestName = "manifest.json"
	maxManifest  = 1 << 20
)

// Manifest says what was exported.
type Manifest struct {
	Written time.Time       `json:"written"`
	Files   map[string]File `json:"files"` // by name
}

// File is what the manifest says of one file.
type File struct {
	Rows   int    `json:"rows"`             // below the header of CSV; people of JSON
	Groups *int   `json:"groups,omitempty"` // groups of JSON
	SHA256 string `json:"sha256"`           // of the file as it is, in hexadecimal digits
}

var sumForm = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func parseManifest(text []byte) (Manifest, error) {
	var m struct {
		Written *time.Time
		Files   map[string]struct {
			Rows, Groups *int
			SHA256       string
		}
	}
	plain, err := textfile.Decode(text)
	if err != nil {
		return Manifest{}, err
	}
	if err = json.Unmarshal(plain, &m, json.MatchCaseInsensitiveNames(true)); err != nil {
		return Manifest{}, fmt.Errorf("it is not the JSON that was expected: %w", err)
	}
	if m.Written == nil {
		return Manifest{}, errors.New(`"written" must say when the export was written`)
	}
	parsed := Manifest{Written: *m.Written, Files: map[string]File{}}
	for name, f := range m.Files {
		switch {
		case f.Rows == nil || *f.Rows < 0 || f.Groups != nil && *f.Groups < 0:
			return Manifest{}, fmt.Errorf(`"rows" of %.100q must say how many rows it has`, name)
		case !sumForm.MatchString(f.SHA256):
			return Manifest{}, fmt.Errorf(`"sha256" of %.100q must be 64 hexadecimal digits`, name)
		}
		parsed.Files[name] = File{Rows: *f.Rows, Groups: f.Groups, SHA256: strings.ToLower(f.SHA256)}
	}
	return parsed, nil
}

// manifest reads it anew; sum is its own.
func (r *Reader) manifest(ctx context.Context) (m Manifest, sum string, err error) {
	text, err := r.place.manifest(ctx, false)
	if err != nil {
		return Manifest{}, "", err
	}
	if m, err = parseManifest(text); err != nil {
		return Manifest{}, "", malformed(manifestName, "at %s: %w", r.place, err)
	}
	now := r.options.Now()
	if age := now.Sub(m.Written); r.options.MaxAge > 0 && (age > r.options.MaxAge || age < -24*time.Hour) {
		return Manifest{}, "", r.incomplete("the manifest was written at %s, which is not within the last %s: see "+
			"whether the export still runs", m.Written.UTC().Format(time.RFC3339), r.options.MaxAge)
	}
	return m, sumOf(text), nil
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// opened is a file whose sum was right. It is read as text, and summed once more meanwhile.
type opened struct {
	name string
	want File
	from io.ReadSeekCloser
	text io.Reader
	hash hash.Hash
	rows int // that were read
	// of JSON
	groups int
}

func (o *opened) close() { _ = o.from.Close() }

// open compares a file's sum with the manifest's.
func (r *Reader) open(ctx context.Context, m Manifest, name string) (*opened, error) {
	want, listed := m.Files[name]
	if !listed {
		return nil, r.incomplete("the manifest does not list %s", name)
	}
	from, err := r.place.open(ctx, name)
	if err != nil {
		return nil, err
	}
	o := &opened{name: name, want: want, from: from, hash: sha256.New()}
	bounded := &io.LimitedReader{R: withContext{ctx, from}, N: r.options.MaxBytes + 1}
	size, err := io.Copy(o.hash, bounded)
	switch sum := hex.EncodeToString(o.hash.Sum(nil)); {
	case err != nil:
		err = unreadable(name, err)
	case size > r.options.MaxBytes:
		err = malformed(name, "larger than %d bytes", r.options.MaxBytes)
	case sum != want.SHA256:
		err = r.incomplete("%s is not what the manifest says: SHA-256 %s was expected, and the %d bytes found have "+
			"%s: it is being written, broke off, or was changed afterwards", name, want.SHA256, size, sum)
	default:
		_, err = from.Seek(0, io.SeekStart)
	}
	if err != nil {
		o.close()
		return nil, err
	}
	o.hash.Reset()
	o.text = textfile.NewReader(io.TeeReader(withContext{ctx, from}, o.hash))
	return o, nil
}

// check says whether a file that was read as far as err was still what the manifest says.
func (r *Reader) check(o *opened, err error) error {
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(o.hash.Sum(nil)); sum != o.want.SHA256 {
		return r.incomplete("%s was changed during the read", o.name)
	}
	if o.rows != o.want.Rows {
		return r.incomplete("the manifest says that %s has %d rows, and it has %d", o.name, o.want.Rows, o.rows)
	}
	if o.want.Groups != nil && *o.want.Groups != o.groups {
		return r.incomplete("the manifest says that %s has %d groups, and it has %d", o.name, *o.want.Groups, o.groups)
	}
	return nil
}

// withContext ends a read with the context's error, and marks those of the disk.
type withContext struct {
	ctx  context.Context
	from io.Reader
}

func (w withContext) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.from.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errReading, err)
	}
	return n, err
}

var errReading = errors.New("it cannot be read")
