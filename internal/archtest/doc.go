// Package archtest holds the rules of the house as a test: who may import whom
// (the deps block of docs/ARCHITECTURE.md), where SQL may stand, how long a
// file may be. It parses the files itself: a test that asks "go list" is cached
// by go test and misses breaches.
package archtest
