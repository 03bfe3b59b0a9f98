package file

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

// The defaults of Options.
const (
	DefaultPeople   = "people.csv"
	DefaultTimeout  = 5 * time.Minute
	DefaultMaxBytes = 1 << 30
)

// Options say where the files are and what their columns mean. Either Root or URL must be given.
type Options struct {
	// Root is a folder of the worker's machine, as an absolute path, which the worker's settings allow to be read.
	// Folder is where the files are below it; empty: in Root itself. No symbolic link may lead out of Root.
	Root, Folder string

	// URL is the https address of the folder: manifest.json is below it. Plain http is taken for loopback only.
	URL string
	// Secret is asked for before each request and sent to the URL's host only: as the password of User, if that is
	// given, otherwise as a bearer token. Nil: requests carry no credentials.
	Secret func(context.Context) (string, error)
	User   string
	// HTTP is for a CA of one's own, a proxy or tests; nil: a client of the standard library.
	HTTP *http.Client
	// Timeout bounds the transfer of one file; default DefaultTimeout.
	Timeout time.Duration
	// Spool is the folder for copies of what is fetched, which nobody else can open and which are gone with the read;
	// default: that of the operating system.
	Spool string

	// People names the file of people, which ends in .csv, .tsv, .txt or .json; default DefaultPeople. Groups names the
	// one of groups, if people are not in JSON; empty: there are no groups.
	People, Groups string
	// MaxBytes bounds each file; default DefaultMaxBytes.
	MaxBytes int64
	// MaxAge is how long after it was written a manifest is still believed; 0: for ever.
	MaxAge time.Duration

	// The rest is about CSV.

	// Key is the column that identifies a person for ever, such as an employee's number, and never an e-mail address
	// or a name.
	Key     string
	Enabled Enabled
	// Lists are the columns whose cells hold several values, with what separates those. They become lists.
	Lists map[string]string
	// Separator is what separates cells: a comma, semicolon or tab; 0: what the header shows.
	Separator rune

	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Enabled says which column tells whether somebody is enabled. Letters' case does not matter. A cell that is empty does
// not tell; one that is in neither list is an error, but without Enabled everything not Disabled is enabled.
type Enabled struct {
	Column   string   // empty: the files do not tell
	Disabled []string // for example inactive, terminated
	Enabled  []string
}

// Reader is a source of files. It is safe for use by several goroutines.
type Reader struct {
	options Options
	place   place
	as      string
}

var _ source.Watcher = (*Reader)(nil)

// New checks the options. It reads nothing.
func New(o Options) (*Reader, error) {
	if o.People == "" {
		o.People = DefaultPeople
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("file: %w: %w", source.ErrInvalid, err)
	}
	r := &Reader{options: o}
	var err error
	if o.URL != "" {
		r.place, err = newWeb(o)
	} else {
		r.place, err = newFolder(o)
	}
	if err != nil {
		return nil, fmt.Errorf("file: %w: %w", source.ErrInvalid, err)
	}
	lists := []string{}
	for column, separator := range o.Lists {
		lists = append(lists, reading.As(column, separator))
	}
	slices.Sort(lists)
	r.as = reading.As("file", r.place.String(), o.User, o.People, o.Groups, o.Key, o.Enabled.Column,
		reading.As(o.Enabled.Disabled...), reading.As(o.Enabled.Enabled...), reading.As(lists...))
	return r, nil
}

func (o *Options) check() error {
	if (o.Root == "") == (o.URL == "") {
		return errors.New("either a folder or a URL must be given, and not both")
	}
	if o.Timeout < 0 || o.MaxBytes < 0 || o.MaxAge < 0 {
		return errors.New("timeouts and bounds may not be negative")
	}
	for _, name := range []string{o.People, o.Groups} {
		if name != "" && !isFileName(name) {
			return fmt.Errorf("%.100q is not the name of a file beside the manifest", name)
		}
	}
	if isJSON(o.People) {
		if o.Key != "" || o.Groups != "" || o.Enabled.Column != "" || len(o.Lists) > 0 {
			return errors.New(
				"columns and a file of groups are for CSV; a JSON file says key, enabled and groups itself")
		}
		return nil
	}
	switch {
	case !isCSV(o.People) || o.Groups != "" && !isCSV(o.Groups):
		return errors.New("the files' names must end in .csv, .tsv, .txt or, for people, .json")
	case o.People == o.Groups:
		return errors.New("people and groups must be in two files")
	case o.Key == "":
		return errors.New("the column that is the key must be named")
	case o.Enabled.Column != "" && len(o.Enabled.Disabled)+len(o.Enabled.Enabled) == 0:
		return fmt.Errorf("the values of the column %.100q that mean disabled must be listed", o.Enabled.Column)
	case !slices.Contains([]rune{0, ',', ';', '\t'}, o.Separator):
		return errors.New("cells are separated by a comma, semicolon or tab")
	}
	for column, separator := range o.Lists {
		if separator == "" {
			return fmt.Errorf("what separates the values of the column %.100q must be given", column)
		}
	}
	return o.Enabled.check()
}

func (e Enabled) check() error {
	for _, value := range e.Disabled {
		if contains(e.Enabled, value) {
			return fmt.Errorf("%.100q cannot mean both enabled and disabled", value)
		}
	}
	return nil
}

// contains compares as people write: case and white space around do not matter.
func contains(list []string, value string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), strings.TrimSpace(value))
	})
}

func isFileName(name string) bool {
	return name != manifestName && path.Base(name) == name && name != "." && name != ".." && len(name) <= 255 &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
}

func isJSON(name string) bool { return strings.EqualFold(path.Ext(name), ".json") }

func isCSV(name string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".txt"}, strings.ToLower(path.Ext(name)))
}

// Read checks the manifest's sums before it shows anybody, and its numbers of rows before it returns the proof.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	manifest, sum, err := r.manifest(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	read := reading.New(page)
	if err = r.readFiles(ctx, manifest, read); err != nil {
		return source.Proof{}, err
	}
	_, again, err := r.manifest(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	if again != sum {
		return source.Proof{}, r.incomplete(
			"the manifest was replaced during the read: read again once the export is done")
	}
	if read.People() == 0 {
		return source.Proof{}, r.incomplete("%s holds nobody: see what is exported", r.options.People)
	}
	declared := manifest.Files[r.options.People].Rows
	return read.Finish(r.as, sum, &declared)
}

func (r *Reader) readFiles(ctx context.Context, manifest Manifest, read *reading.Reading) error {
	people, err := r.open(ctx, manifest, r.options.People)
	if err != nil {
		return err
	}
	defer people.close()
	if isJSON(r.options.People) {
		return r.check(people, readJSON(people, read))
	}
	if r.options.Groups == "" {
		return r.check(people, r.readPeople(people, read))
	}
	groups, err := r.open(ctx, manifest, r.options.Groups) // both are whole before anybody is shown
	if err != nil {
		return err
	}
	defer groups.close()
	if err = r.check(people, r.readPeople(people, read)); err != nil {
		return err
	}
	return r.check(groups, readGroups(groups, r.options.Separator, read))
}

// Lookup reads the files: ErrGone means that they are whole and that the key is not in them.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	var found *source.Identity
	_, err := r.Read(ctx, func(page source.Page) error {
		for i := range page.People {
			if page.People[i].Key == key {
				found = &page.People[i]
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return source.Identity{}, err
	case found == nil:
		return source.Identity{}, fmt.Errorf("file: %w: %.100q is not in %s, which is whole", source.ErrGone, key,
			r.options.People)
	}
	return *found, nil
}

// Changes compares the manifest with the one that was there: the cursor is its sum.
func (r *Reader) Changes(ctx context.Context, cursor string) (source.Changes, string, error) {
	text, err := r.place.manifest(ctx, true)
	if err != nil {
		return source.Changes{}, "", err
	}
	next := sumOf(text)
	return source.Changes{All: cursor != "" && cursor != next}, next, nil
}

func (r *Reader) incomplete(format string, args ...any) error {
	return fmt.Errorf("file: %w: %s: %s", source.ErrIncomplete, r.place, fmt.Sprintf(format, args...))
}

func malformed(file, format string, args ...any) error {
	return fmt.Errorf("file: %w: %s, %w", source.ErrMalformed, file, fmt.Errorf(format, args...))
}
