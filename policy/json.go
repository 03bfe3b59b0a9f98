package policy

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the schema
	"encoding/hex"
	"encoding/json"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON schema of policy files, for editors. Parse is stricter: it also judges how entries go together.
func Schema() []byte { return bytes.Clone(schema) }

// JSON is the canonical form: all defaults written out, keys in fixed order, no insignificant space. It is a policy
// file itself, which parses to the same policy.
func (p *Policy) JSON() []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		panic("policy: a policy is plain data and always encodes: " + err.Error())
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

// Hash is "sha256:" and the hash of the canonical form in hex. The file's formatting, comments, key order and defaults
// written out do not change it.
func (p *Policy) Hash() string {
	if p.written != nil {
		return p.written.Hash()
	}
	sum := sha256.Sum256(p.JSON())
	return "sha256:" + hex.EncodeToString(sum[:])
}
