// Package report is the governance report: what one look at an organization found, as tables, and its three forms:
// JSON, which is the whole and can be read back; CSV for a spreadsheet; and one HTML page that needs nothing but
// itself. Other questions are answered in activities/reports.
//
// It knows no clock and imports nothing of the project: who makes a report fills it in. What a report shows comes from
// people's directories, so each form treats every text as hostile.
package report
