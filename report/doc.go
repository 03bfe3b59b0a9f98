// Package report holds the governance report: what was found in an organization, as tables, and its three formats:
// JSON, which is complete and can be read back, CSV for spreadsheets, and a self-contained HTML page. Other reports are
// made in activities/reports.
//
// The package is pure: callers fill in a report. Its texts come from directories, so each format treats them as
// hostile.
package report
