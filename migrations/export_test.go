package migrations

import (
	"io/fs"
	"time"
)

// WithFiles makes Up, Down and Status use other migrations than FS.
func WithFiles(files fs.FS) Option { return func(c *config) { c.source = files } }

// WithLockLimit sets for how long Up and Down try to lock a table.
func WithLockLimit(limit time.Duration) Option { return func(c *config) { c.lockLimit = limit } }
