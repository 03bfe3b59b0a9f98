package messages

import "github.com/castellan-io/castellan/access"

// Duration is a time span that people write as "2h30m". In JSON it is that string.
type Duration = access.Duration
