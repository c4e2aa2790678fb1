package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir is t.TempDir, with directories above it that every user may pass
// through: as root the server writes each mailbox as its owner.
func Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
