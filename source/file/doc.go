// Package file reads people and groups from files that an HR or identity system exports, in a folder of the worker's
// machine or at an https URL:
//
//   - people.csv has a header and one row for each person. The header's names are the attributes' names; an empty cell
//     is an attribute that the person does not have.
//   - groups.csv has the columns group, key and, if wanted, name, and one row for each membership. A row without a key
//     is a group that may have no members.
//   - people.json holds both: {"people":[{"key":"…","enabled":true,"attributes":{…}}],
//     "groups":[{"key":"…","name":"…","members":["…"]}]}.
//   - manifest.json is written last. It is the proof that the files are whole:
//
// For example:
//
//	{"written": "2026-11-30T02:00:00Z",
//	 "files": {"people.csv": {"rows": 1200, "sha256": "9f86d081884c7d65…"},
//	           "groups.csv": {"rows": 5400, "sha256": "60303ae22b998861…"}}}
//
// Rows are the rows below the header, or the people of a JSON file; there, "groups" may say how many groups it has.
// They should come from the system that exports, and not be counted in the file, so that an export that broke off is
// noticed. WriteManifest is for systems that cannot write one. By hand, sha256sum people.csv prints the sum, and wc -l
// the number of rows and one more for the header, if no cell has a line break and the last line ends in one.
package file
