// Package evidence reads and writes evidence packs of access reviews: what was asked, what each reviewer was shown,
// what everybody decided, and what became of it, in one file that anybody can check without Castellan's ledger, its
// server or Atlassian. Verify checks a pack, CSV and HTML show it.
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
// Lines and bodies are canonical, to the byte: no spaces, no repeated keys and no unknown ones, so that no two readers
// read them differently. The same goes for the campaign, which has only keys that a policy's campaign can have. Fields
// added to the types must be omitted from the JSON while they are zero, or old packs would no longer be canonical; a
// pack in testdata guards that.
//
// A text of more than 8,000 bytes is cut, followed by its length and SHA-256 hash; in a line that would be longer than
// MaxLine all texts, and then lists, are cut further. So any ledger's content fits into a pack. A reviewer's By is an
// account id and Email their address at the time, for reading only; in packs from before reviewers were accounts, By is
// an address.
//
// # What it proves
//
// The chain and the counts show that the file is complete and that no line was changed, lost, doubled or moved, by
// accident or with an editor. The contents are checked against each other as well: a verdict against the decisions, the
// decisions against the log, an outcome against the verdict. So a pack that Verify accepts is consistent.
//
// They do not show who made it. Anybody can make a consistent pack of a review that never took place. Only its head
// proves a pack: compare it with the head that Castellan put into the ledger's chain and sent to the campaign's owner.
// Whoever can rewrite ledger, mailbox and pack alike can deceive anybody.
//
// If somebody had written to the ledger without Castellan, the review's field unexplained lists the rows that the
// ledger's chain did not explain when the pack was made: such a pack is consistent, but not what happened.
//
// Nor does a pack prove that its statements about the world are true. What people hold is what Atlassian answered at
// the time. Whoever decided had the link or, if the review required codes, also the reviewer's code.
package evidence
