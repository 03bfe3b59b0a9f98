// Package idp is a directory of people and groups in memory, behind the dialects of four identity providers: Okta,
// Microsoft Graph (Entra ID), Google Workspace and Keycloak. It answers as the vendors' descriptions say, with the
// traps of the live services: Okta's lists leave out who is deprovisioned, Google answers 412 for who was deleted,
// offsets of Keycloak shift while people come and go. Faults spoil chosen answers.
package idp
