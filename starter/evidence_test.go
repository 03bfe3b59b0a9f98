package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/messages"
)

var privileged = reviewRef{"acme", "quarterly-privileged:2026-03-02"}

// pack returns a valid pack.
func pack(t *testing.T) ([]byte, evidence.VerifiedPack) {
	t.Helper()
	data, err := os.ReadFile("../evidence/testdata/pack.jsonl")
	require.NoError(t, err)
	checked, err := evidence.Verify(bytes.NewReader(data))
	require.NoError(t, err)
	return data, checked
}

// evidenceServer answers with a pack in pieces of three lines.
func evidenceServer(t *testing.T, data []byte, named evidence.Seal) *fakeTemporal {
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	return &fakeTemporal{answer: func(in messages.ReportInput) (messages.ReportAnswer, error) {
		require.Equal(t, messages.ReportEvidence, in.Kind)
		require.Equal(t, privileged.id, in.ID)
		piece := 0
		if in.After != "" {
			var err error
			piece, err = strconv.Atoi(in.After)
			require.NoError(t, err)
		}
		var document bytes.Buffer
		zip := gzip.NewWriter(&document)
		for n := piece * 3; n < min(len(lines), piece*3+3); n++ {
			_, _ = zip.Write(lines[n])
		}
		_ = zip.Close()
		answer := messages.ReportAnswer{Evidence: &messages.Evidence{Review: in.ID, Lines: named.Lines,
			Head: named.Head, Document: document.Bytes()}}
		if piece*3+3 < len(lines) {
			answer.Next = strconv.Itoa(piece + 1)
		}
		return answer, nil
	}}
}

func TestReviewEvidenceFetchesAndVerifies(t *testing.T) {
	data, checked := pack(t)
	f := evidenceServer(t, data, checked.Seal)
	s, out, _ := f.session()
	prefix := filepath.Join(t.TempDir(), "audit", "evidence")
	require.NoError(t, f.run(t, s, "", "evidence", privileged.id, "--out", prefix))
	require.Equal(t, prefix+".jsonl: review quarterly-privileged:2026-03-02 of acme, closing, 8 items, "+
		strconv.Itoa(checked.Events)+" entries of its log, "+strconv.Itoa(checked.Lines)+" lines\n"+
		"checked: it is consistent, and has the head that the ledger recorded\n"+
		"derived from it: "+prefix+".csv, "+prefix+".html\n"+
		"head: "+checked.Head+"\n"+
		"pass the files on together with the head; starter verify-evidence "+prefix+".jsonl checks them anywhere\n",
		out.String())
	require.Greater(t, len(f.asked), 3, "in pieces")
	got, err := os.ReadFile(prefix + ".jsonl")
	require.NoError(t, err)
	require.Equal(t, data, got)
	table, err := os.ReadFile(prefix + ".csv")
	require.NoError(t, err)
	require.Equal(t, 9, strings.Count(string(table), "\n"), "a head and eight items")
	page, err := os.ReadFile(prefix + ".html")
	require.NoError(t, err)
	require.Contains(t, string(page), checked.Head)
	left, err := os.ReadDir(filepath.Dir(prefix))
	require.NoError(t, err)
	require.Len(t, left, 3)

	folder := t.TempDir()
	require.NoError(t, f.run(t, s, "", "evidence", privileged.id, "--out", folder, "--format", "jsonl"))
	left, err = os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "quarterly-privileged-2026-03-02.jsonl", left[0].Name())
	require.ErrorContains(t, f.run(t, s, "", "evidence", privileged.id, "--format", "pdf"), `--format "pdf"`)
}

func TestReviewEvidenceKeepsAFailedPackUnverified(t *testing.T) {
	data, checked := pack(t)
	other := checked.Seal
	other.Head = "sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		data  []byte
		named evidence.Seal
		err   string
	}{
		"changed": {bytes.Replace(data, []byte(`"verdict":"keep"`), []byte(`"verdict":"remove"`), 1),
			checked.Seal, "line "},
		"cut": {data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1], checked.Seal,
			"the file ends without its last line"},
		"another pack": {data, other, "is not the pack that was made"},
	} {
		t.Run(name, func(t *testing.T) {
			f := evidenceServer(t, c.data, c.named)
			s, out, _ := f.session()
			folder := t.TempDir()
			err := f.run(t, s, "", "evidence", privileged.id, "--out", filepath.Join(folder, "evidence"))
			require.ErrorContains(t, err, "failed its check; what was received is in "+filepath.Join(folder,
				"evidence.unverified.jsonl"))
			require.ErrorContains(t, err, c.err)
			require.Empty(t, out)
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Len(t, left, 1)
		})
	}
	_, err := verifyPack("../evidence/testdata/pack.jsonl", quarterly,
		messages.Evidence{Head: checked.Head, Lines: checked.Lines})
	require.ErrorContains(t, err, "it is the evidence of review quarterly-privileged:2026-03-02 of acme")
}

func TestFilePrefix(t *testing.T) {
	folder := t.TempDir()
	for out, want := range map[string]string{
		"":               "quarterly-2026-03-02",
		"audit/q1":       "audit/q1",
		"evidence.jsonl": "evidence",
		folder:           folder + "/quarterly-2026-03-02",
		folder + "/new/": folder + "/new/quarterly-2026-03-02",
	} {
		require.Equal(t, want, filePrefix(out, quarterly))
	}
}

func TestVerifyEvidenceNeedsNoTemporal(t *testing.T) {
	noTemporal(t)
	data, checked := pack(t)
	const file = "../evidence/testdata/pack.jsonl"
	out, err := runProgram("verify-evidence", file)
	require.NoError(t, err, out)
	require.Contains(t, out, "head: "+checked.Head+"\n")
	for args, err := range map[string]string{
		file + " --head " + checked.Head:                                "",
		file + " --head " + strings.TrimPrefix(checked.Head, "sha256:"): "",
		file + " --head sha256:" + strings.Repeat("0",
			64): "is consistent, but it is not the pack with that head: its head is " + checked.Head,
		file + " --head sha256:12": "give all of it",
		file + "x":                 "open " + file + "x: no such file",
	} {
		_, got := runProgram(append([]string{"verify-evidence"}, strings.Fields(args)...)...)
		if err == "" {
			require.NoError(t, got, args)
		} else {
			require.ErrorContains(t, got, err, args)
			require.NotContains(t, got.Error(), "failed the check")
		}
	}

	broken := filepath.Join(t.TempDir(), "broken.jsonl")
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines[4] = bytes.Replace(lines[4], []byte(`"risk":`), []byte(`"risk":1`), 1)
	require.NoError(t, os.WriteFile(broken, bytes.Join(lines, nil), 0o600))
	_, err = runProgram("verify-evidence", broken)
	require.ErrorContains(t, err, broken+
		" failed the check: evidence: line 5: its hash is not that of its content: it was changed after it was written")
}

func TestVerifyEvidencePrintsWhatIsProven(t *testing.T) {
	inUTC(t)
	_, checked := pack(t)
	var out bytes.Buffer
	s := &session{out: &out}
	answer, err := verifyEvidenceFile("../evidence/testdata/pack.jsonl", "")
	require.NoError(t, err)
	printVerified(&out, answer)
	require.Equal(t, "../evidence/testdata/pack.jsonl: review quarterly-privileged:2026-03-02 of acme, closing, 8 items, "+strconv.Itoa(checked.Events)+" entries of its log, "+
		strconv.Itoa(checked.Lines)+" lines, made at 2026-03-19 08:00:00 UTC\n"+
		"checked: every line is canonical and follows the one before, nothing is missing, and verdicts and outcomes match the log\n"+
		"head: "+checked.Head+"\n"+
		"It is consistent. Only the head proves that it is the pack that was made: compare it (--head) with the one in the notice to\n"+
		"the campaign's owner, or in the ledger's chain (entry review-ended; starter verify-ledger says whether the chain is intact).\n", out.String())
	out.Reset()
	answer, err = verifyEvidenceFile("../evidence/testdata/pack.jsonl", checked.Head)
	require.NoError(t, err)
	printVerified(&out, answer)
	require.Contains(t, out.String(), "has the given head")
	require.NotContains(t, out.String(), "Only the head proves")
	out.Reset()
	s.json = true
	require.NoError(t, s.show(answer, nil))
	var shown map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &shown))
	require.Equal(t, checked.Head, shown["head"])
	require.Equal(t, true, shown["compared"])
	require.Equal(t, 8.0, shown["items"])
}
