// Package cloud is a simulated Atlassian Cloud, in memory: the organization API (v1 and v2), user provisioning (SCIM,
// in several directories), user management, and the audit log, behind one http.Handler.
//
// It behaves as the vendor documents and as users of the live service report, traps included: the response to a group's
// creation has no ID, a 409 has two meanings, cursors are bare strings, arrays are limited, synced groups are
// read-only, reads lag behind writes. What the vendor leaves open is a setting. Everything is deterministic for a given
// seed, and safe for concurrent use.
//
// The paths mirror the live hosts: https://api.atlassian.com/admin is /admin here, /scim and /users stay as they are.
// Under /_sim/ is the control API: seeding, settings, faults, statistics, what administrators, people and other
// identity providers do by themselves, and the true state without any lag.
package cloud
