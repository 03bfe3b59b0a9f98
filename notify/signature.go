package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"
)

// Tolerance is how far a request's timestamp may be from the receiver's clock, in either direction.
const Tolerance = 5 * time.Minute

// Sign returns the signature of a webhook's body: "sha256=" and the hexadecimal HMAC-SHA256, keyed by the shared
// secret, of the timestamp as in its header, a full stop, and the body's bytes.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// What Verify finds wrong.
var (
	ErrSignature = errors.New("the signature is not that of this timestamp and body: do both sides have the same secret, and was the body read as it came?")
	ErrTimestamp = errors.New("the timestamp is too far from this machine's clock: a replayed request, or a clock that is wrong")
)

// Verify is for receivers: it returns nil if the body was signed with the secret within [Tolerance] of now. A receiver
// should also drop repeated Idempotency-Keys: within the tolerance a request can be replayed.
func Verify(secret, timestamp, signature string, body []byte, now time.Time) error {
	if secret == "" {
		return errors.New("there is no secret to check the signature with: configure the one that the sender has")
	}
	if !hmac.Equal([]byte(Sign(secret, timestamp, body)), []byte(signature)) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("the timestamp is not a number of seconds")
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > Tolerance || off < -Tolerance {
		return ErrTimestamp
	}
	return nil
}
