package access

// Identity is what an identity source says of a person, as its last complete read showed it.
type Identity struct {
	Source string `json:"source"` // its name in the policy
	// Key is the source's own, immutable. Empty: it is not known whether the person is somebody in the source, and the
	// other fields say nothing.
	Key        string         `json:"key,omitempty"`
	Enabled    *bool          `json:"enabled,omitempty"` // nil: the source does not say
	Attributes map[string]any `json:"attributes,omitempty"`
	OutOfScope bool           `json:"outOfScope,omitempty"` // the source knows the person, and its scope leaves them out
	// ScopeUnknown: the scope asks for what the source does not say of the person.
	ScopeUnknown bool `json:"scopeUnknown,omitempty"`
}

// Attribute returns an attribute by its name, or else by a name that differs in case only; nil if the source does not
// say it.
func (i *Identity) Attribute(name string) any {
	if value := i.Attributes[name]; value != nil {
		return value
	}
	found := ""
	for other, value := range i.Attributes {
		if value != nil && SameName(other, name) && (found == "" || other < found) {
			found = other
		}
	}
	return i.Attributes[found]
}
