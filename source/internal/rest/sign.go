package rest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"

	"github.com/go-json-experiment/json"
)

// ParseKey reads an RSA private key from PEM (PKCS #8 or PKCS #1). Its errors hold nothing of the key.
func ParseKey(text string) (*rsa.PrivateKey, error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				return key, nil
			}
			return nil, errors.New("the private key is damaged: it is no RSA key in PKCS #1")
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if key, is := parsed.(*rsa.PrivateKey); err == nil && is {
				return key, nil
			}
			return nil, errors.New("the private key is damaged or no RSA key")
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted: give it without a passphrase")
		}
	}
	return nil, errors.New("there is no private key: it is expected as PEM, which begins with -----BEGIN PRIVATE " +
		"KEY-----")
}

// SignJWT makes a JSON web token of the claims. Header adds to the token's header, for example kid. It is signed with
// RS256, or with PS256 if the header's alg says so.
func SignJWT(key *rsa.PrivateKey, header map[string]string, claims map[string]any) (string, error) {
	full := map[string]string{"alg": "RS256", "typ": "JWT"}
	for name, value := range header {
		full[name] = value
	}
	var parts [2]string
	for i, part := range []any{full, claims} {
		encoded, err := json.Marshal(part, json.Deterministic(true))
		if err != nil {
			return "", err
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(encoded)
	}
	signed := parts[0] + "." + parts[1]
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	if full["alg"] == "PS256" {
		signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:],
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	}
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
