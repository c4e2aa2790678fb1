//go:build !race

package memtest

// Race reports whether this program looks for races.
const Race = false
