package test

import (
	"testing"

	"mailserver/internal/testenv"
)

// TestScripts plays dialogs that need more than one part of the server.
func TestScripts(t *testing.T) { testenv.RunScripts(t, "testdata/*.txt", testenv.SMTP) }
