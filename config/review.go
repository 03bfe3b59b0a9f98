package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// ReviewPage is where reviewers decide, with the secret read.
type ReviewPage struct {
	Addr string   // HOST:PORT, or [ListenOff]
	URL  *url.URL // at which reviewers reach it; nil: there is no page, and no link can be made
	Key  Secret

	Connections int // at most, at once
}

// minReviewKey is the length of the shortest key that signs reviewers' links, in characters.
const minReviewKey = 32

// ReviewPage reads the key that is given as file:/PATH, an absolute path as in [Worker.LedgerPasswordFile]. A worker
// with the URL and the key and no address makes links to a page that other workers serve.
func (w Worker) ReviewPage() (ReviewPage, error) {
	page := ReviewPage{Addr: w.ReviewAddr}
	if !w.usesReviewPage() {
		return page, nil
	}
	page.Connections = w.ReviewConnections
	var err error
	if page.URL, err = url.Parse(strings.TrimRight(w.reviewURL(), "/")); err != nil {
		return ReviewPage{}, fmt.Errorf("CASTELLAN_REVIEW_URL: %w", err)
	}
	page.Key = w.ReviewKey
	path, isFile := strings.CutPrefix(w.ReviewKey.Reveal(), "file:")
	if !isFile {
		return page, nil
	}
	value, err := readSecret(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return ReviewPage{}, fmt.Errorf("CASTELLAN_REVIEW_KEY: read %s: %w", path, err)
	}
	if !isReviewKey(value) {
		return ReviewPage{}, fmt.Errorf(
			"CASTELLAN_REVIEW_KEY: %s holds fewer than %d characters: make a key by openssl rand -base64 32", path,
			minReviewKey)
	}
	page.Key = NewSecret(value)
	return page, nil
}

// usesReviewPage reports whether the worker serves the reviewers' page or makes links to it.
func (w Worker) usesReviewPage() bool {
	return w.ReviewAddr != ListenOff || w.ReviewURL != "" || w.ReviewKey.Reveal() != ""
}

// reviewURL returns the page's URL. Only a loopback listener, which nobody beyond this machine reaches, implies it.
func (w Worker) reviewURL() string {
	if w.ReviewURL != "" || !isHostPort(w.ReviewAddr) {
		return w.ReviewURL
	}
	host, port, _ := net.SplitHostPort(w.ReviewAddr)
	if number, err := netip.ParseAddrPort(net.JoinHostPort("127.0.0.1", port)); err != nil || number.Port() == 0 ||
		!isLoopback(host) {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (w Worker) rejectsReview(variable string) bool {
	switch variable {
	case "CASTELLAN_REVIEW_ADDR":
		return w.ReviewAddr != ListenOff && !isHostPort(w.ReviewAddr)
	case "CASTELLAN_REVIEW_URL":
		return w.usesReviewPage() && !isRootURL(w.reviewURL())
	case "CASTELLAN_REVIEW_KEY":
		return w.usesReviewPage() && !isFileOr(w.ReviewKey, isReviewKey)
	}
	return false
}

func isReviewKey(s string) bool { return len(s) >= minReviewKey }
