package main

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// What the IDs of aggregates begin with.
const (
	walletPrefix = "wallet-"
	orderPrefix  = "order-"
)

// newID makes the ID of a new aggregate from the request's key, so that the same request
// asks for the same aggregate. The owner keeps the keys of different customers apart.
func newID(prefix, key, owner string) string {
	sum := sha256.Sum256([]byte(key + "\x00" + owner))
	return prefix + hex.EncodeToString(sum[:16])
}

var (
	walletIDs = regexp.MustCompile(`^wallet-[0-9a-z]{1,32}$`)
	orderIDs  = regexp.MustCompile(`^order-[0-9a-z]{1,32}$`)
)
