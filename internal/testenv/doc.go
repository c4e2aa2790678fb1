// Package testenv starts the real server in a temporary directory, with a real
// DNS server that answers from a zone file, and runs scripted dialogs against
// it. The format of a script stands in docs/testing.md.
//
// It is imported by external test packages only (package smtp_test), since it
// stands above everything that it tests.
package testenv
