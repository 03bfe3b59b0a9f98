package idp

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// authorized reports whether a request carries the API token, or one that was given out and is in force.
func (d *Directory) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	d.mu.Lock()
	defer d.mu.Unlock()
	expires, known := d.tokens[token]
	return scheme == "SSWS" && token == d.options.Token ||
		scheme == "Bearer" && known && d.options.Now().Before(expires)
}

// Revoke makes all tokens that were given out invalid.
func (d *Directory) Revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.tokens)
}

// token is a token endpoint. It knows clients by their secret, clients by an assertion (RFC 7523, section 2.2), and
// assertions as grants (section 2.1) for the subject that they name.
func (d *Directory) token(w http.ResponseWriter, r *http.Request) {
	fault := d.hit(r)
	refuse := func(status int, code, text string) {
		body, _ := json.Marshal(map[string]string{"error": code, "error_description": text})
		d.write(w, fault, answer{status: status}, body)
	}
	client := r.PostFormValue("client_id")
	switch grant := r.PostFormValue("grant_type"); grant {
	case "client_credentials":
		assertion := r.PostFormValue("client_assertion")
		switch {
		case assertion != "" && r.PostFormValue("client_assertion_type") !=
			"urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
			refuse(http.StatusBadRequest, "invalid_request", "The client_assertion_type is not supported.")
			return
		case assertion != "":
			claims, err := d.verify(assertion, audience(r))
			if err != nil || claims["iss"] != claims["sub"] {
				refuse(http.StatusUnauthorized, "invalid_client", fmt.Sprint("The assertion is not valid: ", err))
				return
			}
			client, _ = claims["iss"].(string)
		case r.PostFormValue("client_secret") != d.options.ClientSecret:
			refuse(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
			return
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		claims, err := d.verify(r.PostFormValue("assertion"), audience(r))
		if err != nil {
			refuse(http.StatusBadRequest, "invalid_grant", fmt.Sprint("Invalid JWT: ", err))
			return
		}
		if subject, _ := claims["sub"].(string); subject == "" {
			refuse(http.StatusUnauthorized, "unauthorized_client", "The subject is missing.")
			return
		}
		client, _ = claims["iss"].(string)
	default:
		refuse(http.StatusBadRequest, "unsupported_grant_type", "The grant type is not supported.")
		return
	}
	if client != d.options.ClientID {
		refuse(http.StatusUnauthorized, "invalid_client", "The client is not known.")
		return
	}
	d.mu.Lock()
	d.serial++
	token := fmt.Sprintf("sim-access-%d", d.serial)
	d.tokens[token] = d.options.Now().Add(d.options.Lifetime)
	d.mu.Unlock()
	body, _ := json.Marshal(map[string]any{"access_token": token, "token_type": "Bearer",
		"expires_in": int(d.options.Lifetime.Seconds())})
	d.write(w, fault, answer{}, body)
}

// audience is the endpoint's own address.
func audience(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host + r.URL.Path
	}
	return "http://" + r.Host + r.URL.Path
}

// verify checks an assertion's signature, audience and time.
func (d *Directory) verify(assertion, audience string) (map[string]any, error) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || d.options.Key == nil {
		return nil, fmt.Errorf("no assertion, or no key to verify it")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(header), `"PS256"`) {
		err = rsa.VerifyPSS(d.options.Key, crypto.SHA256, digest[:], signature, nil)
	} else {
		err = rsa.VerifyPKCS1v15(d.options.Key, crypto.SHA256, digest[:], signature)
	}
	if err != nil {
		return nil, err
	}
	decoded, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(decoded, &claims); err != nil {
		return nil, err
	}
	expires, _ := claims["exp"].(float64)
	now := d.options.Now().Unix()
	if claims["aud"] != audience || int64(expires) <= now || int64(expires) > now+3600 {
		return nil, fmt.Errorf("the audience or the time is wrong")
	}
	return claims, nil
}
