package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	certificateFile = "simulator.pem" // for those who are to trust it
	privateKeyFile  = "simulator.key"
)

// certificate returns the simulator's own certificate for the names, kept in the folder: whoever was told to trust it
// still does after a restart. It signs only itself, so trusting it trusts no other name.
func certificate(folder string, names []string) (tls.Certificate, error) {
	certFile, keyFile := filepath.Join(folder, certificateFile), filepath.Join(folder, privateKeyFile)
	kept, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && fits(kept.Leaf, names) {
		return kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("%w; remove what lies in %s, and it is made anew", err, folder)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Castellan's simulator"}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := errors.Join(
		writePEM(keyFile, "PRIVATE KEY", private, 0o600),
		writePEM(certFile, "CERTIFICATE", cert, 0o644),
	); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// fits reports whether the certificate is valid for all the names for another day.
func fits(leaf *x509.Certificate, names []string) bool {
	for _, name := range names {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return time.Now().AddDate(0, 0, 1).Before(leaf.NotAfter)
}

func writePEM(path, kind string, content []byte, mode fs.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode)
}
