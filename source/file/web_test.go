package file_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

// share serves a folder and keeps what it was asked.
type share struct {
	url      string
	requests []*http.Request
	statuses []int
	before   func(http.ResponseWriter, *http.Request) bool // true: it answered
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) { s.code = code; s.ResponseWriter.WriteHeader(code) }

func newShare(t *testing.T, dir string) *share {
	t.Helper()
	s := &share{}
	files := http.StripPrefix("/export", http.FileServer(http.Dir(dir)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests = append(s.requests, r)
		answer := &status{w, http.StatusOK}
		defer func() { s.statuses = append(s.statuses, answer.code) }()
		if s.before == nil || !s.before(answer, r) {
			files.ServeHTTP(answer, r)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/export"
	return s
}

func (s *share) options(t *testing.T) file.Options {
	t.Helper()
	o := options("")
	o.Root, o.URL, o.Spool = "", s.url, t.TempDir()
	o.Secret = func(context.Context) (string, error) { return "s3cret\n", nil }
	return o
}

func TestReadFromTheWeb(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	want, err := read(t, options(dir))
	require.NoError(t, err)
	s := newShare(t, dir)
	o := s.options(t)
	got, err := read(t, o)
	require.NoError(t, err)
	require.Equal(t, want.people, got.people)
	require.Equal(t, want.groups, got.groups)
	paths := []string{}
	for _, r := range s.requests {
		paths = append(paths, r.URL.Path)
		require.Equal(t, "Bearer s3cret", r.Header.Get("Authorization"))
	}
	require.Equal(t, []string{"/export/manifest.json", "/export/people.csv", "/export/groups.csv",
		"/export/manifest.json"}, paths)
	left, err := os.ReadDir(o.Spool)
	require.NoError(t, err)
	require.Empty(t, left)

	o.User = "hr"
	_, err = read(t, o)
	require.NoError(t, err)
	user, password, _ := s.requests[len(s.requests)-1].BasicAuth()
	require.Equal(t, "hr s3cret", user+" "+password)
}

func TestReadFromTheWebRefuses(t *testing.T) {
	s := newShare(t, export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV}))
	elsewhere := newShare(t, t.TempDir())
	redirect := http.RedirectHandler(elsewhere.url, http.StatusFound)
	for text, test := range map[string]struct {
		file   string
		answer func(http.ResponseWriter, *http.Request)
		kind   error
	}{
		"status 401":             {"manifest.json", code(401), source.ErrUnauthorized},
		"status 403":             {"people.csv", code(403), source.ErrForbidden},
		"status 404":             {"people.csv", code(404), source.ErrIncomplete},
		"status 429":             {"people.csv", code(429), source.ErrRateLimited},
		"status 503":             {"people.csv", code(503), source.ErrUnavailable},
		"status 304":             {"manifest.json", code(304), source.ErrInvalid},
		"a redirect, which":      {"manifest.json", redirect.ServeHTTP, source.ErrInvalid},
		"the answer broke off":   {"people.csv", breakOff, source.ErrIncomplete},
		"a web page came":        {"manifest.json", page, source.ErrMalformed},
		"was expected, and the ": {"people.csv", cutShort, source.ErrIncomplete},
	} {
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if filepath.Base(r.URL.Path) != test.file {
				return false
			}
			test.answer(w, r)
			return true
		}
		got, err := read(t, s.options(t))
		require.ErrorIs(t, err, test.kind, text)
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "s3cret")
		require.Empty(t, got.people, text)
	}
	require.Empty(t, elsewhere.requests)
}

func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(peopleCSV[:50]))
}

func cutShort(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(peopleCSV[:50])) }

func code(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<html>log in</html>"))
}

func TestReadFromTheWebWithoutASecret(t *testing.T) {
	s := newShare(t, export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV}))
	o := s.options(t)
	for _, secret := range []string{"", "a b"} {
		o.Secret = func(context.Context) (string, error) { return secret, nil }
		_, err := read(t, o)
		require.ErrorIs(t, err, source.ErrUnauthorized)
	}
	lost := errors.New("lost")
	o.Secret = func(context.Context) (string, error) { return "", lost }
	_, err := read(t, o)
	require.ErrorIs(t, err, lost)
	require.Empty(t, s.requests)

	o.Secret = nil
	_, err = read(t, o)
	require.NoError(t, err)
	require.Empty(t, s.requests[0].Header.Get("Authorization"))

	ctx, cancel := context.WithCancel(t.Context())
	s.before = func(http.ResponseWriter, *http.Request) bool { cancel(); return false }
	r, err := file.New(o)
	require.NoError(t, err)
	_, err = r.Read(ctx, func(source.Page) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
}

func TestChangesAreAskedForConditionally(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	s := newShare(t, dir)
	for name, marked := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"Last-Modified": nil,
		"ETag": func(w http.ResponseWriter, r *http.Request) bool {
			text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
			require.NoError(t, err)
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(text)))
			return false
		},
	} {
		_, err := file.WriteManifest(dir, written)
		require.NoError(t, err)
		at := filepath.Join(dir, "manifest.json")
		require.NoError(t, os.Chtimes(at, written, time.Now().Add(-time.Hour)))
		s.before, s.statuses = marked, nil
		r, err := file.New(s.options(t))
		require.NoError(t, err)
		_, cursor, err := r.Changes(t.Context(), "")
		require.NoError(t, err)
		changes, next, err := r.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.Zero(t, changes)
		require.Equal(t, cursor, next)
		require.Equal(t, []int{200, 304}, s.statuses, name)
		_, err = r.Read(t.Context(), func(source.Page) error { return nil })
		require.NoError(t, err)
		require.NotContains(t, s.statuses[2:], 304, "what a read believes is fetched")

		write(t, dir, "groups.csv", groupsCSV+"g3,,\n")
		_, err = file.WriteManifest(dir, written)
		require.NoError(t, err)
		changes, _, err = r.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.True(t, changes.All, name)
		write(t, dir, "groups.csv", groupsCSV)
	}
}

func TestChangesWithinASecondAreSeen(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	s := newShare(t, dir)
	now := time.Now().Add(time.Second)
	at := filepath.Join(dir, "manifest.json")
	require.NoError(t, os.Chtimes(at, now, now))
	r, err := file.New(s.options(t))
	require.NoError(t, err)
	_, cursor, err := r.Changes(t.Context(), "")
	require.NoError(t, err)
	_, err = file.WriteManifest(dir, written.Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(at, now, now))
	changes, _, err := r.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.True(t, changes.All)
}
