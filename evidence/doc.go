// Package evidence is the pack that an access review leaves behind, made to stand up to a stranger: what was asked,
// what each reviewer was shown, what everybody said and did, and what became of it, in one file that anybody can check
// without Castellan's ledger, its server or Atlassian. Verify checks a pack, CSV and HTML show it.
//
// # The file
//
// A pack is lines of JSON, each ended by a line feed:
//
//	{"seq":1,"kind":"review","body":{…},"prev":"","hash":"sha256:…"}
//
// The first line, of kind review, is the review and the campaign that it belongs to (Head, with the pack's form). Then
// come the items in the order of their numbers (kind item, access.Item), then the review's log in the order of its
// numbers (kind event, access.ReviewEvent), and last one line of kind end with the counts of all that (Counts). The
// hash of a line is
//
//	"sha256:" + hex(SHA-256(f(prev) f(seq) f(kind) f(body)))
//
// where f(x) is the length of x in bytes as a decimal number, a colon, x itself and a line feed, as in the ledger's
// chain; body is the JSON text exactly as it stands in the line, and prev is the hash of the line before, empty in the
// first. The hash of the last line is the pack's head.
//
// A line has one written form only, to the byte, and so has a body: no space, no repeated key and no unknown one, so
// that no two readers read it differently. That goes for the campaign too: it has the keys that a policy can say of
// one, each once. Fields that are added to the types in it must be left out of the JSON while they are zero, or packs
// from before would no longer be in that form; a pack in testdata watches over that.
//
// A text of more than 8,000 bytes is cut and ends with its length and its SHA-256 hash; in a line that would be longer
// than MaxLine all texts, and then lists, are cut further. So a pack can be made of whatever stands in a ledger. Of
// reviewers, By is an account id and Email the address that they had then, to be read; in packs of reviews from before
// reviewers were accounts, By is an address.
//
// # What it proves
//
// The chain and the counts show that the file is whole and that no line was changed, lost, doubled or moved by accident
// or by an editor. The contents are checked against each other as well: a verdict against what was said, what was said
// against the log, an outcome against the verdict. So a pack that Verify accepts agrees with itself.
//
// They do not show who made it. Whoever can write a file can make a whole new pack whose hashes fit and whose contents
// agree with each other, of a review that never was. Only held against the head that Castellan put into the ledger's
// chain and sent to the campaign's owner when it made the pack is a pack shown to be that one; and who can rewrite
// ledger, mailbox and pack alike can deceive anybody.
//
// What the ledger's chain did not explain when the pack was made, because somebody had written to the ledger past
// Castellan, the review names in unexplained: such a pack holds, and what it says is not what was done.
//
// Nor does a pack prove that what it says of the world is so. What people hold is what Atlassian answered when it was
// asked. Who decided is who had the link, or, where the review says that decisions needed it, also the reviewer's code.
package evidence
