package eventsource

import (
	"fmt"

	"github.com/oklog/ulid/v2"
)

// ParseSequenceID checks that id is a ULID, stored or not, and returns its
// canonical form: 26 characters of Crockford's base 32 in upper case. The empty
// string stands for the beginning, before all events, and is returned as it is.
// Anything else is [ErrInvalidSequenceID].
func ParseSequenceID(id string) (string, error) {
	if id == "" {
		return "", nil
	}
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrInvalidSequenceID, id, err)
	}
	return parsed.String(), nil
}

// CheckLimit returns [ErrInvalidQuery] for a negative limit. Stores call it for
// every load that takes one.
func CheckLimit(limit int) error {
	if limit < 0 {
		return fmt.Errorf("%w: limit is %d, it must not be negative (0 means no limit)", ErrInvalidQuery, limit)
	}
	return nil
}

// CheckVersions returns [ErrInvalidQuery] for bounds of versions that are negative.
// Stores call it in [VersionLoader].
func CheckVersions(after, last int) error {
	if after < 0 || last < 0 {
		return fmt.Errorf("%w: versions above %d and up to %d: neither can be negative", ErrInvalidQuery, after, last)
	}
	return nil
}
