package cloud

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// instant is a point of time on the simulator's clock, in nanoseconds since 1970.
type instant = int64

// timestamp formats an instant as Atlassian does.
func timestamp(t instant) string { return time.Unix(0, t).UTC().Format("2006-01-02T15:04:05.000Z") }

// stableID returns a UUID that depends only on the seed and the parts.
func (c *Cloud) stableID(parts ...string) string { return uuidOf(c.digest(parts...)) }

// freshID returns a UUID that no earlier call returned.
func (c *Cloud) freshID(kind string) string {
	c.serials[kind]++
	return c.stableID("fresh", kind, strconv.Itoa(c.serials[kind]))
}

// accountID gives each person one of the three forms of live account IDs.
func (c *Cloud) accountID(key string) string {
	d := c.digest("account", key)
	switch d[31] % 8 {
	case 0:
		return hex.EncodeToString(d[:12])
	case 1, 2:
		return "557058:" + uuidOf(d)
	default:
		return "712020:" + uuidOf(d)
	}
}

// newAccountID returns the ID of a new account at the address.
func (c *Cloud) newAccountID(email string) string {
	id := c.accountID(strings.ToLower(email))
	if c.userByID[id] != nil { // the account of that address has another address now
		id = c.accountID(c.freshID("account"))
	}
	return id
}

// chance returns a stable number in [0, n) for the parts.
func (c *Cloud) chance(n uint64, parts ...string) uint64 {
	d := c.digest(parts...)
	return binary.BigEndian.Uint64(d[:8]) % n
}

func (c *Cloud) digest(parts ...string) [32]byte {
	return sha256.Sum256([]byte(strconv.FormatInt(c.options.Seed, 10) + "\x00" + strings.Join(parts, "\x00")))
}

func uuidOf(d [32]byte) string {
	d[6] = d[6]&0x0f | 0x40
	d[8] = d[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[0:4], d[4:6], d[6:8], d[8:10], d[10:16])
}
