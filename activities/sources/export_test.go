package sources

import "time"

func init() { hintEvery = 10 * time.Millisecond }
