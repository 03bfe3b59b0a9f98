// Package ldap tests source/ldap, and what a worker makes of it, against real servers, which the tests start: slapd and
// Samba as Active Directory. On Debian: apt-get install slapd samba-ad-dc winbind. What is not installed is skipped,
// unless CASTELLAN_REQUIRE_SERVERS is 1. Samba needs root, for a network of its own.
package ldap
