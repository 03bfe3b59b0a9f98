package reading

import (
	"fmt"

	"github.com/castellan-io/castellan/source"
)

// AskedFor checks the answer to a look-up: within the bounds, and the person that was asked for, since some providers
// find people by their names as well. The error is ErrMalformed.
func AskedFor(key string, p source.Identity) (source.Identity, error) {
	if err := Person(p); err != nil {
		return source.Identity{}, err
	}
	if p.Key != key {
		return source.Identity{}, fmt.Errorf("%w: it was asked for %.100q and answered with %.100q: look people up "+
			"by their "+
			"immutable key", source.ErrMalformed, key, p.Key)
	}
	return p, nil
}
