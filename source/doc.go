// Package source reads people and groups from identity providers. Each kind of provider has a room of its own; all are
// one small interface: a complete read in pages, which ends in proof that it was complete, and the look-up of one
// identity by its immutable key. What a provider reports as changed is only a hint about where to look.
//
// After an error, nothing that a read has shown is evidence of absence: a person whom it did not show may be there.
package source
