package file

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/castellan-io/castellan/source"
)

// web is a folder at an https URL.
type web struct {
	options Options
	base    string // ends in a slash
	http    *http.Client

	mu   sync.Mutex
	last confirmable
}

// confirmable is a manifest that the server can be asked to confirm.
type confirmable struct {
	text           []byte
	etag, modified string // at most one of them
}

func newWeb(o Options) (place, error) {
	base, err := url.Parse(o.URL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("the URL must be absolute, for example https://hr.acme.example/export")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the URL may have no credentials, query or fragment; a secret is given on its own")
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return nil, errors.New("the URL must be https: what is read must not be changed on its way")
	case o.Folder != "":
		return nil, errors.New("a folder is for files of the worker's machine; put it into the URL")
	case o.User != "" && (o.Secret == nil || strings.Contains(o.User, ":")):
		return nil, errors.New("a user needs a secret, and has no colon in the name")
	}
	client := http.Client{}
	if o.HTTP != nil {
		client = *o.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &web{options: o, base: strings.TrimRight(base.String(), "/") + "/", http: &client}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (w *web) String() string { return w.base }

func (w *web) manifest(ctx context.Context, hint bool) ([]byte, error) {
	var known confirmable
	if hint {
		w.mu.Lock()
		known = w.last
		w.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	response, err := w.get(ctx, manifestName, known)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return known.text, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, w.lost(ctx, manifestName, err)
	case len(text) > maxManifest:
		return nil, malformed(manifestName, "larger than %d bytes", maxManifest)
	}
	w.mu.Lock()
	w.last = toConfirm(text, response.Header)
	w.mu.Unlock()
	return text, nil
}

// toConfirm takes a time of modification for a mark only if a later change would have another: it counts seconds.
func toConfirm(text []byte, header http.Header) confirmable {
	if etag := header.Get("ETag"); etag != "" {
		return confirmable{text: text, etag: etag}
	}
	modified, err := http.ParseTime(header.Get("Last-Modified"))
	now, errNow := http.ParseTime(header.Get("Date"))
	if err == nil && errNow == nil && now.Sub(modified) > time.Second {
		return confirmable{text: text, modified: header.Get("Last-Modified")}
	}
	return confirmable{}
}

// open fetches a file into a copy without a name.
func (w *web) open(ctx context.Context, name string) (io.ReadSeekCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	response, err := w.get(ctx, name, confirmable{})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	spool, err := os.CreateTemp(w.options.Spool, "castellan-source-*")
	if err != nil {
		return nil, fmt.Errorf("file: %w: no copy of %s can be made on the worker's machine: %w", source.ErrUnavailable,
			name, err)
	}
	err = os.Remove(spool.Name())
	if err == nil {
		_, err = io.Copy(spool, io.LimitReader(response.Body, w.options.MaxBytes+1))
	}
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = spool.Close()
		return nil, w.lost(ctx, name, err)
	}
	return spool, nil
}

// get returns an answer of 200, or 304 where that was asked for.
func (w *web) get(ctx context.Context, name string, known confirmable) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+url.PathEscape(name), nil)
	if err != nil {
		return nil, fmt.Errorf("file: %w: the request for %s cannot be built", source.ErrInvalid, name)
	}
	request.Header.Set("User-Agent", "castellan")
	request.Header.Set("Cache-Control", "no-cache")
	if known.etag != "" {
		request.Header.Set("If-None-Match", known.etag)
	} else if known.modified != "" {
		request.Header.Set("If-Modified-Since", known.modified)
	}
	if err = w.authorize(ctx, request); err != nil {
		return nil, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, w.lost(ctx, name, err)
	}
	confirmed := response.StatusCode == http.StatusNotModified && known.text != nil
	if response.StatusCode == http.StatusOK || confirmed {
		media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
		if media != "text/html" || confirmed {
			return response, nil
		}
		_ = response.Body.Close()
		return nil, malformed(name,
			"at %s: a web page came instead: see whether the URL is right and whether a proxy or login page answers", w)
	}
	_ = response.Body.Close()
	return nil, w.refused(name, response)
}

func (w *web) authorize(ctx context.Context, request *http.Request) error {
	if w.options.Secret == nil {
		return nil
	}
	secret, err := w.options.Secret(ctx)
	if err != nil {
		return fmt.Errorf("file: %w: the secret could not be read; nothing was sent: %w", source.ErrUnauthorized, err)
	}
	secret = strings.TrimSpace(secret)
	unfit := func(r rune) bool { return r <= ' ' || r > '~' }
	if secret == "" || w.options.User == "" && strings.ContainsFunc(secret, unfit) {
		return fmt.Errorf("file: %w: the secret is empty or has characters that no token has; nothing was sent",
			source.ErrUnauthorized)
	}
	value := "Bearer " + secret
	if w.options.User != "" {
		value = "Basic " + base64.StdEncoding.EncodeToString([]byte(w.options.User+":"+secret))
	}
	request.Header.Set("Authorization", value)
	return nil
}

func (w *web) refused(name string, response *http.Response) error {
	kind, hint := source.ErrInvalid, "see whether the URL is right"
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized:
		kind, hint = source.ErrUnauthorized, "give another secret"
	case status == http.StatusForbidden:
		kind, hint = source.ErrForbidden, "let this account read the files"
	case status == http.StatusNotFound || status == http.StatusGone:
		kind, hint = source.ErrIncomplete, "it is not there (yet): see whether the URL is right and the export runs"
	case status == http.StatusTooManyRequests:
		kind, hint = source.ErrRateLimited, "read less often"
	case status >= 500:
		kind, hint = source.ErrUnavailable, "the server failed"
	case status/100 == 3:
		hint = "a redirect, which was not followed: configure the address that it leads to, if that is right"
	}
	return fmt.Errorf("file: %w: %s%s: status %d: %s", kind, w.base, name, response.StatusCode, hint)
}

func (w *web) lost(ctx context.Context, name string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("file: %s%s: given up by the caller: %w", w.base, name, ctx.Err())
	}
	kind := source.ErrUnavailable
	if errors.Is(err, io.ErrUnexpectedEOF) {
		kind = source.ErrIncomplete
		err = errors.New("the answer broke off")
	}
	return fmt.Errorf("file: %w: %s%s: %w", kind, w.base, name, err)
}
