// Package source reads people and groups from identity providers. Each kind of provider has a room of its own; all are
// one small interface: a complete read in pages, which ends in proof that it was complete, and the look-up of one
// identity by its immutable key. A provider that tells what changed only says where to look.
//
// An error makes everything that a read has shown worthless as evidence of absence: who was not shown may be there.
package source
