package file_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

const peopleCSV = `employeeId,mail,name,phones,status
1001,ana@acme.example,"Núñez, Ana",1; 2,active
1002,bo@acme.example,Bo,,left
1003,,Cy,3,
`

const groupsCSV = `group,name,key
g1,Engineers,1002
g2,,
g1,Engineers,1001
g1,,1001
`

var written = time.Date(2026, 11, 30, 2, 0, 0, 0, time.UTC)

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// export writes the files as they are, with a manifest that is right.
func export(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, names := t.TempDir(), []string{}
	for name, text := range files {
		write(t, dir, name, text)
		names = append(names, name)
	}
	_, err := file.WriteManifest(dir, written, names...)
	require.NoError(t, err)
	return dir
}

// declare is a manifest of whatever numbers.
func declare(t testing.TB, dir string, rows map[string]int) {
	t.Helper()
	m := file.Manifest{Written: written, Files: map[string]file.File{}}
	for name, n := range rows {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		sum := sha256.Sum256(text)
		m.Files[name] = file.File{Rows: n, SHA256: hex.EncodeToString(sum[:])}
	}
	text, err := json.Marshal(m)
	require.NoError(t, err)
	write(t, dir, "manifest.json", string(text))
}

func options(dir string) file.Options {
	return file.Options{Root: dir, Key: "employeeId", Groups: "groups.csv", Lists: map[string]string{"phones": ";"},
		Enabled: file.Enabled{Column: "status", Disabled: []string{"Left"}, Enabled: []string{"active"}}}
}

func jsonOptions(dir string) file.Options { return file.Options{Root: dir, People: "people.json"} }

type result struct {
	people map[string]source.Identity
	groups map[string]source.Group
	proof  source.Proof
}

func read(t testing.TB, o file.Options) (result, error) {
	t.Helper()
	r, err := file.New(o)
	require.NoError(t, err)
	got := result{people: map[string]source.Identity{}, groups: map[string]source.Group{}}
	got.proof, err = r.Read(t.Context(), func(page source.Page) error {
		for _, p := range page.People {
			got.people[p.Key] = p
		}
		for _, g := range page.Groups {
			got.groups[g.Key] = g
		}
		return nil
	})
	if err != nil {
		require.Zero(t, got.proof)
	}
	return got, err
}

func pointer[T any](v T) *T { return &v }

func TestReadCSV(t *testing.T) {
	got, err := read(t, options(export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})))
	require.NoError(t, err)
	require.Equal(t, map[string]source.Identity{
		"1001": {Key: "1001", Enabled: pointer(true), Attributes: map[string]any{"employeeId": "1001",
			"mail": "ana@acme.example", "name": "Núñez, Ana", "phones": []any{"1", "2"}, "status": "active"}},
		"1002": {Key: "1002", Enabled: pointer(false), Attributes: map[string]any{"employeeId": "1002",
			"mail": "bo@acme.example", "name": "Bo", "status": "left"}},
		"1003": {Key: "1003", Attributes: map[string]any{"employeeId": "1003", "name": "Cy", "phones": []any{"3"}}},
	}, got.people)
	require.Equal(t, map[string]source.Group{
		"g1": {Key: "g1", Name: "Engineers", Members: []string{"1001", "1002"}},
		"g2": {Key: "g2", Name: "g2", Members: []string{}},
	}, got.groups)
	require.NotEmpty(t, got.proof.As)
	require.Len(t, got.proof.State, 64)
	got.proof.As, got.proof.State = "", ""
	require.Equal(t, source.Proof{People: 3, Groups: 2, Memberships: 2, Declared: pointer(3)}, got.proof)
}

func TestReadCSVAsProgramsSaveIt(t *testing.T) {
	want, err := read(t, options(export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})))
	require.NoError(t, err)
	utf16 := func(order unicode.Endianness) func(string) string {
		return func(s string) string {
			s, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(s)
			require.NoError(t, err)
			return s
		}
	}
	for name, saved := range map[string]func(string) string{
		"mark":         func(s string) string { return "\ufeff" + s },
		"Windows":      func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"old Mac":      func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"semicolons":   semicolons,
		"sep line":     func(s string) string { return "sep=;\r\n" + semicolons(s) },
		"tabs":         strings.NewReplacer(", ", ", ", ",", "\t").Replace,
		"UTF-16LE":     utf16(unicode.LittleEndian),
		"UTF-16BE":     utf16(unicode.BigEndian),
		"no last line": func(s string) string { return strings.TrimSuffix(s, "\n") },
		"empty column": func(s string) string { return strings.ReplaceAll(s, "\n", ",\n") },
	} {
		dir := export(t, map[string]string{"people.csv": saved(peopleCSV), "groups.csv": saved(groupsCSV)})
		got, err := read(t, options(dir))
		require.NoError(t, err, name)
		require.Equal(t, want.people, got.people, name)
		require.Equal(t, want.groups, got.groups, name)
	}
}

// semicolons separate cells, and not values.
func semicolons(s string) string {
	return strings.NewReplacer(`"Núñez, Ana"`, `"Núñez, Ana"`, "1; 2", `"1; 2"`, ",", ";").Replace(s)
}

func TestReadRefusesCSV(t *testing.T) {
	long := strings.Repeat("x", source.MaxAttribute)
	for name, test := range map[string]struct {
		people, text string
		kind         error
	}{
		"ragged row": {"employeeId,status\n1,active\n2\n", "line 3: it has 1 cells, and the header has 2", nil},
		"longer row": {"employeeId,status\n1,active,x\n", "line 2: it has 3 cells", nil},
		"blank key":  {"employeeId,status\n ,active\n", `line 2, column "employeeId": the key is empty`, nil},
		"duplicate key": {"employeeId,status\n1,active\n\n1 ,left\n",
			`line 4, column "employeeId": the key "1" is that of line 2`, nil},
		"shortened key": {"employeeId,status\n1.0E+12,active\n",
			`line 2, column "employeeId": the key "1.0E+12" is a number`, nil},
		"shortened, comma": {"employeeId;status\n1,0E+12;active\n", `a spreadsheet has shortened`, nil},
		"unknown state": {"employeeId,status\n1,retired\n",
			`line 2, column "status": it is not configured whether "retired"`, nil},
		"no key column": {"id,status\n1,active\n",
			`no column "employeeId", which is configured as the key; it has ["id" "status"]`, source.ErrInvalid},
		"no state column":    {"employeeId\n1\n", `no column "status"`, source.ErrInvalid},
		"column twice":       {"employeeId,status, status\n1,active,left\n", `two columns are called "status"`, nil},
		"value without name": {"employeeId,status,\n1,active,x\n", "line 2: column 3 has a value and no name", nil},
		"empty":              {"", "there is no header", nil},
		"quote":              {"employeeId,status\n1,\"active\n", `line 2, byte`, nil},
		"quote in a cell":    {"employeeId,status\n1,act\"ive\n", `line 2, byte`, nil},
		"either separator":   {"employeeId,status;x\n1,active\n", `as often as`, nil},
		"other encoding":     {"employeeId,status\n1,\xfcactive\n", "not in UTF-8", nil},
		"long key":           {"employeeId,status\n" + long[:300] + ",active\n", "line 2", nil},
		"key of two lines":   {"employeeId,status\n\"a\nb\",active\n", "not one line", nil},
		"long cell":          {"employeeId,status,x\n1,active," + long + "\n", "line 2", nil},
	} {
		dir := t.TempDir()
		write(t, dir, "people.csv", test.people)
		declare(t, dir, map[string]int{"people.csv": 1})
		o := options(dir)
		o.Groups, o.Lists = "", nil
		_, err := read(t, o)
		if test.kind == nil {
			test.kind = source.ErrMalformed
		}
		require.ErrorIs(t, err, test.kind, name)
		require.ErrorContains(t, err, test.text, name)
		require.ErrorContains(t, err, "people.csv", name)
	}
	for text, groups := range map[string]string{
		`line 2, column "group": the group's key is empty`:   "group,key\n,1\n",
		`line 3: the group "g" is called "B", and "A" above`: "group,name,key\ng,A,1\ng,B,2\n",
		`no column "key"`:          "group,member\ng,1\n",
		"line 2: it has 3 cells":   "group,key\ng,1,2\n",
		strings.Repeat("k", 100):   "group,key\ng," + strings.Repeat("k", 256) + "\n",
		"has more than 1024 bytes": "group,name,key\ng," + strings.Repeat("n", 1025) + ",\n",
		"groups.csv, line 2: it has 1 cells, and the header has 2 columns":    "group,key\ng\n",
		"groups.csv, line 1: there is no header":                              "",
		"groups.csv, line 1: the name of column 2 is not one short line of t": "group,\"k\ney\"\n",
	} {
		dir := t.TempDir()
		write(t, dir, "people.csv", peopleCSV)
		write(t, dir, "groups.csv", groups)
		declare(t, dir, map[string]int{"people.csv": 3, "groups.csv": 1})
		_, err := read(t, options(dir))
		require.Error(t, err, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadOfStatesThatAreNotListed(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV})
	o := options(dir)
	o.Groups = ""
	o.Enabled = file.Enabled{Column: "status", Disabled: []string{"left"}}
	got, err := read(t, o)
	require.NoError(t, err)
	require.True(t, *got.people["1001"].Enabled)
	require.False(t, *got.people["1002"].Enabled)
	require.Nil(t, got.people["1003"].Enabled)

	o.Enabled = file.Enabled{Column: "status", Enabled: []string{"active"}}
	_, err = read(t, o)
	require.ErrorIs(t, err, source.ErrMalformed)
}

const peopleJSON = `{"version": 1, "people": [
 {"key": "a", "enabled": false, "attributes": {"mail": "a@acme.example", "floor": 3, "none": null,
   "tags": ["x", null]}},
 {"key": 17, "attributes": {"manager": {"key": "a", "x": null}}},
 {"key": "c", "enabled": null}
], "groups": [{"key": "g", "name": "G", "members": ["c", 17, "c"]}, {"key": "h", "members": []}]}`

func TestReadJSON(t *testing.T) {
	for _, mark := range []string{"", "\ufeff"} {
		got, err := read(t, jsonOptions(export(t, map[string]string{"people.json": mark + peopleJSON})))
		require.NoError(t, err)
		require.Equal(t, map[string]source.Identity{
			"a": {Key: "a", Enabled: pointer(false), Attributes: map[string]any{"mail": "a@acme.example", "floor": 3.0,
				"tags": []any{"x"}}},
			"17": {Key: "17", Attributes: map[string]any{"manager": map[string]any{"key": "a"}}},
			"c":  {Key: "c"},
		}, got.people)
		require.Equal(t, map[string]source.Group{"g": {Key: "g", Name: "G", Members: []string{"17", "c"}},
			"h": {Key: "h", Members: []string{}}}, got.groups)
		require.Equal(t, 3, *got.proof.Declared)
	}
}

func TestReadRefusesJSON(t *testing.T) {
	for text, people := range map[string]string{
		`has no "groups"`:          `{"people":[]}`,
		`has no "people"`:          `{"groups":[]}`,
		"person 2":                 `{"people":[{"key":"a"},{"key":"a"}],"groups":[]}`,
		"a key is empty":           `{"people":[{"attributes":{}}],"groups":[]}`,
		"unknown object member":    `{"people":[{"key":"a","enable":false}],"groups":[]}`,
		"string or a whole number": `{"people":[{"key":1.5}],"groups":[]}`,
		"enabled":                  `{"people":[{"key":"a","enabled":"yes"}],"groups":[]}`,
		"duplicate":                `{"people":[{"key":"a","attributes":{"x":1,"x":2}}],"groups":[]}`,
		"duplicate object member":  `{"people":[],"people":[],"groups":[]}`,
		"something follows":        `{"people":[],"groups":[]}{}`,
		"unexpected EOF":           `{"people":[{"key":"a"}`,
		"[ was expected":           `{"people":{},"groups":[]}`,
		"{ was expected":           `[]`,
		"too large":                `{"people":[{"key":"a","attributes":{"x":12345678901234567}}],"groups":[]}`,
		`does not say its "mem`:    `{"people":[],"groups":[{"key":"g"}]}`,
		"group 1":                  `{"people":[],"groups":[{"key":"","members":[]}]}`,
		"invalid surrogate":        `{"people":[{"key":"\ud800"}],"groups":[]}`,
		"not in UTF-8":             "{\"people\":[{\"key\":\"\xff\"}],\"groups\":[]}",
	} {
		dir := t.TempDir()
		write(t, dir, "people.json", people)
		declare(t, dir, map[string]int{"people.json": 1})
		_, err := read(t, jsonOptions(dir))
		require.ErrorIs(t, err, source.ErrMalformed, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadNeedsAManifestThatIsRight(t *testing.T) {
	whole := map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV}
	remove := func(name string) func(string) {
		return func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, name))) }
	}
	declared := func(rows map[string]int) func(string) { return func(dir string) { declare(t, dir, rows) } }
	for text, spoil := range map[string]func(dir string){
		"there is no manifest.json":     remove("manifest.json"),
		"there is no groups.csv":        remove("groups.csv"),
		"does not list groups.csv":      declared(map[string]int{"people.csv": 3}),
		"says that people.csv has 4 ro": declared(map[string]int{"people.csv": 4, "groups.csv": 4}),
		"says that groups.csv has 9 ro": declared(map[string]int{"people.csv": 3, "groups.csv": 9}),
		"people.csv holds nobody": func(dir string) {
			write(t, dir, "people.csv", "employeeId,status,phones\n")
			declare(t, dir, map[string]int{"people.csv": 0, "groups.csv": 4})
		},
		"was expected, and the 20 byte": func(dir string) { write(t, dir, "people.csv", peopleCSV[:20]) },
		"was expected, and the 0 bytes": func(dir string) { write(t, dir, "people.csv", "") },
	} {
		dir := export(t, whole)
		spoil(dir)
		got, err := read(t, options(dir))
		require.ErrorIs(t, err, source.ErrIncomplete, text)
		require.ErrorContains(t, err, text)
		if strings.Contains(text, "was expected") {
			require.Empty(t, got.people)
		}
	}
	sum := strings.Repeat("a", 64)
	for text, manifest := range map[string]string{
		"not the JSON":   "<html>",
		`"written"`:      `{"files":{}}`,
		`"rows"`:         `{"written":"2026-11-30T02:00:00Z","files":{"people.csv":{"sha256":"` + sum + `"}}}`,
		`"sha256"`:       `{"written":"2026-11-30T02:00:00Z","files":{"people.csv":{"rows":3}}}`,
		"duplicate":      `{"written":"2026-11-30T02:00:00Z","files":{},"files":{}}`,
		"larger than":    strings.Repeat(" ", 1<<20+1),
		"unexpected EOF": `{"written":"2026-11-30T02:00:00Z"`,
	} {
		dir := export(t, whole)
		write(t, dir, "manifest.json", manifest)
		_, err := read(t, options(dir))
		require.ErrorIs(t, err, source.ErrMalformed, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadNoticesAnExportThatComesMeanwhile(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	r, err := file.New(options(dir))
	require.NoError(t, err)
	const padded = 1000
	var people strings.Builder
	people.WriteString(peopleCSV)
	for i := range 1000 {
		fmt.Fprintf(&people, "%d,,%s,,active\n", 2000+i, strings.Repeat("n", padded)) // more than is read ahead
	}
	many := people.String()
	for text, during := range map[string]func(){
		"manifest was replaced": func() {
			_, err := file.WriteManifest(dir, written.Add(time.Second), "people.csv", "groups.csv")
			require.NoError(t, err)
		},
		"people.csv was changed during": func() {
			at, err := os.OpenFile(filepath.Join(dir, "people.csv"), os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = at.WriteAt([]byte("9"), int64(len(many)-len("2999,,,,active\n")-padded))
			require.NoError(t, errors.Join(err, at.Close()))
		},
	} {
		write(t, dir, "people.csv", many)
		_, err := file.WriteManifest(dir, written, "people.csv", "groups.csv")
		require.NoError(t, err)
		first := true
		_, err = r.Read(t.Context(), func(source.Page) error {
			if first {
				during()
				first = false
			}
			return nil
		})
		require.ErrorIs(t, err, source.ErrIncomplete, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadOfAnOldExport(t *testing.T) {
	o := options(export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV}))
	o.MaxAge = time.Hour
	for after, fresh := range map[time.Duration]bool{0: true, time.Hour: true, time.Hour + 1: false, -time.Hour: true,
		-25 * time.Hour: false} {
		o.Now = func() time.Time { return written.Add(after) }
		_, err := read(t, o)
		if fresh {
			require.NoError(t, err, after)
			continue
		}
		require.ErrorIs(t, err, source.ErrIncomplete, after)
		require.ErrorContains(t, err, "2026-11-30T02:00:00Z")
	}
}

func TestReadStaysBelowTheRoot(t *testing.T) {
	outside := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	root := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "link")))
	o := options(root)
	o.Folder = "link"
	_, err := read(t, o)
	require.ErrorIs(t, err, source.ErrInvalid)
	require.ErrorContains(t, err, "symbolic link")

	require.NoError(t, os.Mkdir(filepath.Join(root, "in"), 0o700))
	for _, name := range []string{"people.csv", "groups.csv", "manifest.json"} {
		require.NoError(t, os.Symlink(filepath.Join(outside, name), filepath.Join(root, "in", name)))
	}
	o.Folder = "in"
	_, err = read(t, o)
	require.ErrorIs(t, err, source.ErrInvalid)

	o.Root, o.Folder = filepath.Dir(outside), filepath.Base(outside)
	_, err = read(t, o)
	require.NoError(t, err)
}

func TestReadOfWhatIsNoFile(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	require.NoError(t, os.Remove(filepath.Join(dir, "groups.csv")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "groups.csv"), 0o600))
	_, err := read(t, options(dir))
	require.ErrorIs(t, err, source.ErrInvalid)
	require.ErrorContains(t, err, "is not a file")

	o := options(dir)
	o.Folder = "nowhere"
	_, err = read(t, o)
	require.ErrorIs(t, err, source.ErrUnavailable)
	require.ErrorContains(t, err, "mounted")
}

func TestReadIsBounded(t *testing.T) {
	o := options(export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV}))
	o.MaxBytes = int64(len(peopleCSV)) - 1
	_, err := read(t, o)
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "larger than")
}

func TestReadReturnsTheErrorsOfItsCaller(t *testing.T) {
	full := errors.New("full")
	for name, o := range map[string]file.Options{
		"CSV":  options(export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})),
		"JSON": jsonOptions(export(t, map[string]string{"people.json": peopleJSON})),
	} {
		r, err := file.New(o)
		require.NoError(t, err)
		_, err = r.Read(t.Context(), func(source.Page) error { return full })
		require.Equal(t, full, err, name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = r.Read(ctx, func(source.Page) error { return nil })
		require.ErrorIs(t, err, context.Canceled, name)
	}
	// also in the middle, of a file of several pages
	for name, o := range map[string]file.Options{"people.csv": {Key: "id"}, "people.json": {People: "people.json"}} {
		o.Root = export(t, map[string]string{name: large(name, 20000)})
		r, err := file.New(o)
		require.NoError(t, err)
		_, err = r.Read(t.Context(), func(source.Page) error { return full })
		require.Equal(t, full, err, name)
		ctx, cancel := context.WithCancel(t.Context())
		_, err = r.Read(ctx, func(source.Page) error { cancel(); return nil })
		require.ErrorIs(t, err, context.Canceled, name)
		for _, kind := range []error{source.ErrMalformed, source.ErrIncomplete, source.ErrUnavailable} {
			require.NotErrorIs(t, err, kind)
		}
	}
}

// large is a file of n people.
func large(name string, n int) string {
	var s strings.Builder
	if strings.HasSuffix(name, ".csv") {
		s.WriteString("id,mail,name,department,title,location,manager\n")
		for i := range n {
			fmt.Fprintf(&s, "E%07d,person%d@acme.example,Person %d,Department %d,Engineer,Building %d,E%07d\n", i, i, i,
				i%50, i%7, i/10)
		}
		return s.String()
	}
	s.WriteString(`{"people":[`)
	for i := range n {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"key":"E%07d","enabled":true,"attributes":{"mail":"p%d@acme.example","department":"D%d"}}`,
			i, i, i%50)
	}
	s.WriteString(`],"groups":[]}`)
	return s.String()
}

func TestReadHoldsLittleInMemory(t *testing.T) {
	const n = 20000
	for name, o := range map[string]file.Options{"people.csv": {Key: "id"}, "people.json": {People: "people.json"}} {
		o.Root = export(t, map[string]string{name: large(name, n)})
		r, err := file.New(o)
		require.NoError(t, err)
		runtime.GC()
		var before, during runtime.MemStats
		runtime.ReadMemStats(&before)
		seen, most := 0, uint64(0)
		proof, err := r.Read(t.Context(), func(page source.Page) error {
			if seen += len(page.People); seen%5000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&during)
				most = max(most, during.HeapAlloc)
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, n, proof.People)
		require.Less(t, most-min(before.HeapAlloc, most), uint64(12<<20), name)
	}
}

func TestNewRefuses(t *testing.T) {
	for text, spoil := range map[string]func(*file.Options){
		"either a folder or a URL":  func(o *file.Options) { o.URL = "https://a.example" },
		"not an absolute path":      func(o *file.Options) { o.Root = "x" },
		"not a folder below":        func(o *file.Options) { o.Folder = "../x" },
		"beside the manifest":       func(o *file.Options) { o.People = "../people.csv" },
		"must end in":               func(o *file.Options) { o.People = "people.xlsx" },
		"in two files":              func(o *file.Options) { o.People, o.Groups = "a.csv", "a.csv" },
		"the column that is the k":  func(o *file.Options) { o.Key = "" },
		"mean disabled must":        func(o *file.Options) { o.Enabled = file.Enabled{Column: "x"} },
		"both enabled and dis":      func(o *file.Options) { o.Enabled.Disabled = []string{"ACTIVE "} },
		"comma, semicolon or tab":   func(o *file.Options) { o.Separator = '|' },
		`the column "x" must be`:    func(o *file.Options) { o.Lists = map[string]string{"x": ""} },
		"are for CSV":               func(o *file.Options) { o.People = "people.json" },
		"may not be negative":       func(o *file.Options) { o.MaxAge = -1 },
		"the URL must be absolute":  func(o *file.Options) { o.Root, o.URL = "", "hr" },
		"the URL may have no cred":  func(o *file.Options) { o.Root, o.URL = "", "https://a:b@hr.example" },
		"the URL must be https":     func(o *file.Options) { o.Root, o.URL = "", "http://hr.example" },
		"put it into the URL":       func(o *file.Options) { o.Root, o.URL, o.Folder = "", "https://hr.example", "x" },
		"a user needs a secret":     func(o *file.Options) { o.Root, o.URL, o.User = "", "https://hr.example", "x" },
		"have no credentials, quer": func(o *file.Options) { o.Root, o.URL = "", "https://hr.example/?sig=x" },
	} {
		o := options("/root")
		spoil(&o)
		_, err := file.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, text)
		require.ErrorContains(t, err, text)
	}
}

func TestProofTellsWhatWasRead(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	seen := map[string]bool{}
	for _, adjust := range []func(*file.Options){func(*file.Options) {}, func(o *file.Options) { o.Groups = "" },
		func(o *file.Options) { o.Key = "name" }, func(o *file.Options) { o.Enabled.Enabled = []string{"active", "x"} },
		func(o *file.Options) { o.Lists = nil }} {
		o := options(dir)
		adjust(&o)
		got, err := read(t, o)
		require.NoError(t, err)
		require.False(t, seen[got.proof.As])
		seen[got.proof.As] = true
	}
}

func TestWriteManifest(t *testing.T) {
	dir := t.TempDir()
	_, err := file.WriteManifest(dir, written)
	require.ErrorContains(t, err, "neither people.csv")
	write(t, dir, "people.csv", peopleCSV)
	write(t, dir, "people.json", peopleJSON)
	m, err := file.WriteManifest(dir, written)
	require.NoError(t, err)
	require.Equal(t, 3, m.Files["people.csv"].Rows)
	require.Equal(t, 3, m.Files["people.json"].Rows)
	require.Equal(t, 2, *m.Files["people.json"].Groups)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3)

	for _, name := range []string{"nothing.csv", "../people.csv", "manifest.json", "people.txt.gz"} {
		_, err = file.WriteManifest(dir, written, name)
		require.Error(t, err, name)
	}
	write(t, dir, "people.csv", "a,b\n1\n")
	_, err = file.WriteManifest(dir, written)
	require.ErrorContains(t, err, "line 2")
}
