package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
)

// maxAnswer bounds how much of a response is read, in bytes.
const maxAnswer = 4 << 10

// post sends a JSON body once. Any 2xx is success. Redirects are never followed, so that no code goes elsewhere. They,
// 5xx, 408, 425 and 429 may be retried; every other 4xx is ErrPermanent. The errors contain neither the address, which
// may be a secret, nor more of the response than one plain word.
func post(ctx context.Context, address string, body []byte, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request could not be built; is the address right?")
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "castellan")
	response, err := http.DefaultTransport.RoundTrip(request) // below the client that follows redirects
	if err != nil {
		return fmt.Errorf("no answer; is the receiver running? %w", connection(err, "the answer is not HTTP"))
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the rest is not wanted
	return statusError(response.StatusCode, answer)
}

func statusError(status int, answer []byte) error {
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 3:
		return fmt.Errorf("answered %d, a redirect, which is never followed: configure the final address", status)
	case status/100 != 4:
		return fmt.Errorf("answered %d: see the receiver's log%s", status, errorCode(answer))
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return fmt.Errorf("answered %d%s", status, errorCode(answer))
	}
	return fmt.Errorf("answered %d%s: check the address and the secret: %w", status, errorCode(answer), ErrPermanent)
}

// errorWord matches Slack's error codes, for example no_service or channel_is_archived. Nothing else of a response is
// shown: it may repeat the request.
var errorWord = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)

func errorCode(answer []byte) string {
	answer = bytes.TrimSpace(answer)
	if len(answer) > 50 || !errorWord.Match(answer) {
		return ""
	}
	return " (" + string(answer) + ")"
}

// connection passes on errors of the network and TLS. Any other error may quote the other side, which may repeat the
// request; it is replaced by the text otherwise.
func connection(err error, otherwise string) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificate
	}
	if handshake, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return handshake
	}
	return errors.New(otherwise)
}
