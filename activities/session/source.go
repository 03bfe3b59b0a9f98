package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
)

// OpenSource returns the reader of one of the policy's identity sources, without asking the source anything. Sessions
// with the same policy share it, and with it the tokens that it was given. Errors of the reader itself are the
// caller's to wrap; see [WrapSourceError].
func (s *Session) OpenSource(name string) (source.Source, error) {
	described, found := provision.Find(s.Policy.Sources, name)
	if !found {
		return nil, NonRetryable(ErrPolicy,
			fmt.Errorf("the policy of organization %s has no identity source %q", s.Org, name))
	}
	key := s.Org + "/" + name + "/" + s.Policy.Hash()
	if opened, known := s.openSources.Get(key); known {
		return opened, nil
	}
	opened, err := (&sourceOpener{s.Env, s.Org, *described}).open()
	if err != nil {
		return nil, WrapSourceError("open identity source "+name+" of organization "+s.Org, err)
	}
	s.openSources.Add(key, opened)
	return opened, nil
}

// sourceOpener makes the reader of what a policy says of one source.
type sourceOpener struct {
	env *Env
	org string
	provision.Source
}

// secret returns the function by which a reader asks for the secret of a reference, each time anew. It fails unless the
// worker's settings allow the secret for every URL's host. Without a reference it is nil.
func (o *sourceOpener) secret(ref string, urls ...string) func(context.Context) (string, error) {
	if ref == "" {
		return nil
	}
	return func(context.Context) (string, error) {
		hosts := make([]string, len(urls))
		for i, text := range urls {
			var err error
			if hosts[i], err = hostOf(text); err != nil {
				return "", err
			}
		}
		if o.env.sourceSecret == nil {
			return "", fmt.Errorf("%w: this worker has no secrets for sources", source.ErrInvalid)
		}
		value, err := o.env.sourceSecret(o.org, ref, hosts...)
		if err != nil {
			return "", fmt.Errorf("%w: %w", source.ErrInvalid, err)
		}
		return value, nil
	}
}

// ports are those that URLs leave out.
var ports = map[string]string{"https": "443", "http": "80", "ldaps": "636", "ldap": "389"}

// hostOf returns the host of a URL with its port, where a reader connects to.
func hostOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%w: the URL of the source has no host", source.ErrInvalid)
	}
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// folder returns the folder of the worker's settings that the source's lies in, and where it lies in it.
func (o *sourceOpener) folder() (root, below string, err error) {
	for _, root := range o.env.sourceFolders[o.org] {
		if below, err := filepath.Rel(root, o.Folder); err == nil && filepath.IsLocal(below) {
			return root, below, nil
		}
	}
	return "", "", fmt.Errorf("%w: the folder %s may not be read: have whoever runs the worker add to CASTELLAN_SOURCE_FOLDERS, after a comma if there is more: %s=%s",
		source.ErrInvalid, o.Folder, o.org, o.Folder)
}

// sourceHTTP returns the client with which sources are read by https; nil: the readers' own.
func sourceHTTP(o Options) *http.Client {
	standard, is := http.DefaultTransport.(*http.Transport)
	if o.SourceCAs == nil || !is {
		return nil
	}
	transport := standard.Clone()
	transport.MaxIdleConnsPerHost = 8
	transport.TLSClientConfig = &tls.Config{RootCAs: o.SourceCAs, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}
