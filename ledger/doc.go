// Package ledger is Castellan's memory: policies, runs, plan lines, decisions, holdings, grants, evidence and, over
// what was decided and done, a hash chain per organization.
//
// It lives in one SQLite file, or in PostgreSQL when several worker hosts share it; both hold the same tables and pass
// the same tests.
//
// # Writes
//
// Every method that writes is one transaction, on disk before it returns, and may be repeated with the same arguments
// without a second effect. Every write of an organization first takes the organization's row in the table heads, so
// writes of one organization happen one after another, also over several processes; organizations do not wait for
// each other on PostgreSQL.
//
// # Values
//
// Instants are kept as microseconds since 1970 in UTC, and come back in UTC cut to the microsecond. Text must be UTF-8;
// bytes that are not, and zero bytes, are replaced before they are stored. No secret belongs here, and none is stored:
// of an approver's code there is only the hash that the caller gives.
//
// # Replicas
//
// What identity sources and SCIM directories show is kept in replicas (migration 24). Reads are numbered. Whatever a
// read shows is there at once; what a complete read does not show is marked as missing, with the read's number and
// time, and counts as there until that is concluded: no earlier than with the next complete read, some time later, and
// of people only after a look-up. Marks of a read that did not end are undone before the next one, and nothing is
// concluded from a suspect one. These are facts that can be read again, so the chain does not cover them. Which account
// or record an identity is, is a decision: the chain covers the table bindings. What a source posts (migration 29)
// comes once: the chain covers the table posted, whose rows have a digest of all that was said of a person.
//
// # The chain
//
// Each entry carries the hash of the one before it. The hash of an entry is
//
//	"sha256:" + hex(SHA-256(f(prev) f(org) f(seq) f(at) f(kind) f(run) f(person) f(target) f(body)))
//
// where f(x) is the length of x in bytes as a decimal number, a colon, x itself and a line feed; seq is a decimal
// number that starts at 1 and leaves nothing out; at is the instant in decimal microseconds since 1970; body is the
// JSON text exactly as it is stored; and the first entry's prev is empty. Anyone with a copy of the table entries can
// check it. Entries name the people they are about by account id only, or not at all while it is not known, so that a
// person's name and address can be erased without touching the chain. Who can rewrite the whole database can also
// rewrite the whole chain: keep a head (see Ledger.Head) somewhere else to notice that.
//
// # Rows and the chain
//
// What is decided or acted on (the tables of recordedTables) stands in the chain too: the last entry of a transaction,
// of kind rows, says by hashes how the rows are that it wrote, and each of them carries that entry's number. So
// Ledger.VerifyRows names every row that was written past the ledger, put back or deleted. What the chain says last of
// each row is kept in memory (replay.go), and nothing is acted on that is not so: see Ledger.explainedRows.
//
// Whoever adds a statement that writes to one of these tables announces the rows before: by write.touch, which refuses
// to build upon what the chain does not explain; by write.forget, where that can be decided anew; by
// write.touchDoubted, where it must be written all the same. The tests' helper sound finds what was not announced. A
// migration that changes such rows of an organization whose chain records rows already must record them anew; one that
// adds tables to them counts recordVersion up.
package ledger
