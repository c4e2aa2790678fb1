package testenv

import "testing"

// Protocol names the listener that a client connects to.
type Protocol string

// The listeners of a test server.
const (
	SMTP       Protocol = "mx"
	Submission Protocol = "submission" // STARTTLS, AUTH
	SMTPS      Protocol = "smtps"      // TLS, AUTH
	LMTP       Protocol = "lmtp"
	IMAP       Protocol = "imap"
	IMAPS      Protocol = "imaps"
)

// RunScripts runs every script that matches the pattern against a server of
// its own, as a subtest.
func RunScripts(t *testing.T, pattern string, to Protocol) {
	t.Skip("the server is not wired yet")
}
