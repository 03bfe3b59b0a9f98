package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTLS starts the simulator twice with one folder: whoever trusts its certificate after the first start trusts it
// after the second.
func TestTLS(t *testing.T) {
	folder := t.TempDir()
	var trusted *x509.CertPool
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		ended := make(chan error, 1)
		args := []string{"--people", "50", "--groups", "5", "--memberships", "100",
			"--tls-listen", "127.0.0.1:0", "--tls-names", "localhost", "--tls-folder", folder}
		go func() {
			err := run(ctx, args, func(string) string { return "" }, writer)
			_ = writer.CloseWithError(err) // if it ended before its first line
			ended <- err
		}()
		line, err := bufio.NewReader(reader).ReadBytes('\n')
		require.NoError(t, err)
		var ready struct{ URL, TLS string }
		require.NoError(t, json.Unmarshal(line, &ready))
		if trusted == nil {
			trusted = x509.NewCertPool()
			content, err := os.ReadFile(filepath.Join(folder, certificateFile))
			require.NoError(t, err)
			require.True(t, trusted.AppendCertsFromPEM(content))
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted,
			ServerName: "localhost"}}}
		for _, url := range []string{ready.URL, ready.TLS} {
			answer, err := client.Get(url + "/_sim/info")
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusOK, answer.StatusCode)
		}
		client.CloseIdleConnections()
		stop()
		require.NoError(t, <-ended)
	}
}

func TestCertificateIsMadeAnewForOtherNames(t *testing.T) {
	folder := t.TempDir()
	first, err := certificate(folder, []string{"simulator"})
	require.NoError(t, err)
	kept, err := certificate(folder, []string{"simulator"})
	require.NoError(t, err)
	require.Equal(t, first.Certificate, kept.Certificate)
	other, err := certificate(folder, []string{"simulator", "localhost"})
	require.NoError(t, err)
	require.NoError(t, other.Leaf.VerifyHostname("localhost"))
	require.False(t, other.Leaf.IsCA, "it vouches for itself alone")

	info, err := os.Stat(filepath.Join(folder, privateKeyFile))
	require.NoError(t, err)
	require.Equal(t, "600", strconv.FormatUint(uint64(info.Mode().Perm()), 8))
	require.NoError(t, os.WriteFile(filepath.Join(folder, certificateFile), []byte("spoilt"), 0o600))
	_, err = certificate(folder, []string{"simulator"})
	require.ErrorContains(t, err, "remove what lies in")
}
