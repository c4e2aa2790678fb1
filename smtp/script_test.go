package smtp_test

import (
	"testing"

	"mailserver/internal/testenv"
)

// TestScripts plays the dialogs against the real server.
func TestScripts(t *testing.T) { testenv.RunScripts(t, "testdata/*.txt", testenv.SMTP) }
