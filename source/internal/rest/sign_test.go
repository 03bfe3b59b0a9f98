package rest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source/internal/rest"
)

// rsaKey is made once, because that takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func asPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func testKey() string { return asPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())) }

func requireSigned(t *testing.T, key *rsa.PrivateKey, parts []string) {
	t.Helper()
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	require.NoError(t, rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature))
}

func TestParseKey(t *testing.T) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	require.NoError(t, err)
	key, err := rest.ParseKey("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + asPEM("PRIVATE KEY",
		pkcs8))
	require.NoError(t, err)
	require.True(t, key.Equal(rsaKey()))

	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	elliptic, err := x509.MarshalPKCS8PrivateKey(curve)
	require.NoError(t, err)
	for text, want := range map[string]string{
		"": "there is no private key", "s3cret": "there is no private key",
		asPEM("RSA PRIVATE KEY", pkcs8): "damaged", asPEM("PRIVATE KEY", elliptic): "no RSA key",
		asPEM("ENCRYPTED PRIVATE KEY", pkcs8): "without a passphrase",
	} {
		_, err := rest.ParseKey(text)
		require.ErrorContains(t, err, want)
	}
}
