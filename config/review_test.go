package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/config"
)

const (
	reviewAddr, reviewURL, reviewKey = "CASTELLAN_REVIEW_ADDR", "CASTELLAN_REVIEW_URL", "CASTELLAN_REVIEW_KEY"
	longKey                          = "hunter2-0123456789-0123456789-01"
)

func TestLoadJudgesReviewSettingsTogether(t *testing.T) {
	type settings map[string]string
	for name, c := range map[string]struct {
		given   settings
		refused []string
	}{
		"off": {settings{reviewAddr: "off"}, nil},
		"behind a proxy": {settings{reviewAddr: ":8090", reviewURL: "https://reviews.acme.example",
			reviewKey: longKey}, nil},
		"with a slash and a port": {settings{reviewAddr: "0.0.0.0:8090",
			reviewURL: "https://reviews.acme.example:8443/", reviewKey: "file:/run/secrets/review-key"}, nil},
		"on this machine":          {settings{reviewAddr: "127.0.0.1:8090", reviewKey: longKey}, nil},
		"on this machine, by name": {settings{reviewAddr: "localhost:8090", reviewKey: longKey}, nil},
		"on this machine, any port": {settings{reviewAddr: "127.0.0.1:0", reviewURL: "http://127.0.0.1:8090",
			reviewKey: longKey}, nil},
		"links to another's page": {settings{reviewURL: "https://reviews.acme.example", reviewKey: longKey}, nil},

		"not an address": {settings{reviewAddr: "8090", reviewURL: "https://reviews.acme.example",
			reviewKey: longKey}, []string{reviewAddr}},
		"nothing but an address":  {settings{reviewAddr: ":8090"}, []string{reviewURL, reviewKey}},
		"no URL":                  {settings{reviewAddr: "10.0.0.1:8090", reviewKey: longKey}, []string{reviewURL}},
		"no URL, and no port yet": {settings{reviewAddr: "127.0.0.1:0", reviewKey: longKey}, []string{reviewURL}},
		"no key":                  {settings{reviewAddr: "127.0.0.1:8090"}, []string{reviewKey}},
		"a URL without a key":     {settings{reviewURL: "https://reviews.acme.example"}, []string{reviewKey}},
		"a key without a URL":     {settings{reviewKey: longKey}, []string{reviewURL}},
		"a short key": {settings{reviewAddr: "127.0.0.1:8090", reviewKey: longKey[1:]},
			[]string{reviewKey}},
		"a relative file": {settings{reviewAddr: "127.0.0.1:8090",
			reviewKey: "file:keys/hunter2-hunter2-hunter2-hunter2"}, []string{reviewKey}},
		"plain http": {settings{reviewAddr: ":8090", reviewURL: "http://reviews.acme.example",
			reviewKey: longKey}, []string{reviewURL}},
		"a path": {settings{reviewAddr: ":8090", reviewURL: "https://acme.example/reviews",
			reviewKey: longKey}, []string{reviewURL}},
		"credentials": {settings{reviewAddr: ":8090", reviewURL: "https://u:hunter2@acme.example",
			reviewKey: longKey}, []string{reviewURL}},
		"not a URL": {settings{reviewAddr: ":8090", reviewURL: "reviews.acme.example",
			reviewKey: longKey}, []string{reviewURL}},
	} {
		t.Run(name, func(t *testing.T) {
			clearVariables(t)
			for variable, value := range c.given {
				t.Setenv(variable, value)
			}
			_, err := config.Load[config.Worker]()
			if len(c.refused) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			for _, variable := range []string{reviewAddr, reviewURL, reviewKey} {
				if has := variable + " cannot be used"; slices.Contains(c.refused, variable) {
					require.ErrorContains(t, err, has)
				} else {
					require.NotContains(t, err.Error(), has)
				}
			}
		})
	}
}

func reviewPage(t *testing.T, given map[string]string) (config.ReviewPage, error) {
	t.Helper()
	clearVariables(t)
	for variable, value := range given {
		t.Setenv(variable, value)
	}
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	return worker.ReviewPage()
}

func TestReviewPageIsOffUnlessItIsAskedFor(t *testing.T) {
	page, err := reviewPage(t, nil)
	require.NoError(t, err)
	require.Equal(t, config.ReviewPage{Addr: config.ListenOff}, page)
}

func TestReviewPageTakesItsURLFromALoopbackListener(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:8090": "http://127.0.0.1:8090",
		"[::1]:8090": "http://[::1]:8090", "localhost:80": "http://localhost:80"} {
		page, err := reviewPage(t, map[string]string{reviewAddr: addr, reviewKey: longKey})
		require.NoError(t, err)
		require.Equal(t, want, page.URL.String())
		require.Equal(t, longKey, page.Key.Reveal())
	}
	page, err := reviewPage(t, map[string]string{reviewAddr: "127.0.0.1:8090",
		reviewURL: "https://reviews.acme.example/", reviewKey: longKey})
	require.NoError(t, err)
	require.Equal(t, "https://reviews.acme.example", page.URL.String(), "what is said goes before what is guessed")
}

func TestReviewPageReadsTheKeyFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "review-key")
	given := map[string]string{reviewURL: "https://reviews.acme.example", reviewKey: "file:" + file}
	require.NoError(t, os.WriteFile(file, []byte(longKey+"\n"), 0o600))
	page, err := reviewPage(t, given)
	require.NoError(t, err)
	require.Equal(t, longKey, page.Key.Reveal())
	require.Equal(t, config.ListenOff, page.Addr)

	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("x", 31)+"\n"), 0o600))
	_, err = reviewPage(t, given)
	require.ErrorContains(t, err, "CASTELLAN_REVIEW_KEY: "+file+" holds fewer than 32 characters")
	require.NotContains(t, err.Error(), "xxx")

	require.NoError(t, os.Remove(file))
	_, err = reviewPage(t, given)
	require.ErrorContains(t, err, "CASTELLAN_REVIEW_KEY: read "+file)
}
