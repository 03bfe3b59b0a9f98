// Package ldap reads people and groups from LDAP directories: OpenLDAP, 389 Directory Server, Active Directory, Samba.
//
// A directory answers a question about somebody whom it does not let us see as if there were nobody. The proof of a
// read therefore holds a digest of who the server says we are; that the account may see everybody, only its
// administrator can tell.
//
// What would make an answer shorter than the truth is an error: a size or time limit, a page that is missing or comes
// twice, a server that does not page, values that come in ranges of which one is missing, a reference to another
// server. Of the references, those to Active Directory's own partitions, which hold no people, and those that
// Options.Elsewhere names are left out. A cookie that comes again is no error, as long as the entries are new: 389
// Directory Server and Samba send the same with each page.
//
// Groups in groups are followed here, by DN, rather than by a matching rule of the server. LDAP_MATCHING_RULE_IN_CHAIN
// is Active Directory's alone, takes a search for each group, and would show neither members outside of the scope nor a
// cycle. A member who is not in scope is asked for by DN. If there is such an entry, its key counts, so that nobody
// drops out of a group by being moved; unless it is known to be no person, such as a computer. If the server says that
// there is no such entry, as after a deletion in a directory without referential integrity, it is left out. Any other
// answer is an error.
package ldap
