package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHangupOpensTheLogAnew: logrotate moves the file away and sends SIGHUP;
// without a log file the signal does nothing.
func TestHangupOpensTheLogAnew(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	h.cmd.Process.Signal(syscall.SIGHUP)
	if s, err := dialSender(h.addr(25)); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	} else {
		s.c.Close()
	}
	h.stop()

	file := filepath.Join(h.dir, "mail.log")
	h.mustRun("config", "set", "maillog_file="+file)
	h.start()
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	h.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, "the new file is there", func() bool { _, err := os.Stat(file); return err == nil })
	h.sender()
	waitFor(t, "the new file has the connection", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), "connect from")
	})
}
