package file_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

// BenchmarkRead reads 100,000 people.
func BenchmarkRead(b *testing.B) {
	for name, o := range map[string]file.Options{"people.csv": {Key: "id"}, "people.json": {People: "people.json"}} {
		o.Root = export(b, map[string]string{name: large(name, 100_000)})
		b.Run(name, func(b *testing.B) {
			r, err := file.New(o)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := r.Read(b.Context(), func(source.Page) error { return nil })
				require.NoError(b, err)
			}
		})
	}
}
