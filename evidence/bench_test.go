package evidence_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/evidence"
)

// BenchmarkPack is what the pack of a review of 10,000 items costs, and how large its forms are.
func BenchmarkPack(b *testing.B) {
	m := sample(10_000)
	pack := packOf(b, m)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		var out bytes.Buffer
		for b.Loop() {
			out.Reset()
			write(b, m, &out)
		}
		b.ReportMetric(float64(len(m.events)), "events")
		b.ReportMetric(float64(out.Len())/1e6, "MB")
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := evidence.Verify(bytes.NewReader(pack))
			require.NoError(b, err)
		}
	})
	for name, show := range map[string]func(io.Reader, io.Writer) error{"csv": evidence.CSV, "html": evidence.HTML} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				require.NoError(b, show(bytes.NewReader(pack), &out))
			}
			b.ReportMetric(float64(out.Len())/1e6, "MB")
		})
	}
}
