package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"mailserver/internal/landlock"
	"mailserver/internal/shadow"
)

// helperSocket is the variable with the number of the socket to the helper.
const helperSocket = "MAILSERVER_SHADOW_HELPER"

// ShadowHelper is the command that is the helper, see package shadow. Its
// socket is file 3.
const ShadowHelper = "shadow-helper"

// startHelper starts the helper with what it needs of root: to read /etc. The
// socket stays open over execve.
func startHelper(exe string) error {
	ours, its, err := shadow.Pair()
	if err != nil {
		return err
	}
	defer its.Close()
	cmd := exec.Command(exe, ShadowHelper)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = "/", []string{"GOMAXPROCS=1"}, []*os.File{its}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	done := make(chan error, 1)
	go func() { done <- startNarrowed(cmd, exe) }()
	if err := <-done; err != nil {
		return err
	}
	fd, err := unix.FcntlInt(ours.Fd(), unix.F_DUPFD, 3) // without close-on-exec
	if err != nil {
		return fmt.Errorf("keep the socket: %w", err)
	}
	return os.Setenv(helperSocket, strconv.Itoa(fd))
}

// startNarrowed starts a program of root without its rights, but to read what
// others may not.
func startNarrowed(cmd *exec.Cmd, exe string) error {
	runtime.LockOSThread() // never unlocked
	have, err := permitted()
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc([]uintptr{unix.CAP_DAC_READ_SEARCH}, func(c uintptr) bool { return !have(c) })
	if err := keepOnly(keep); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	err = landlock.RestrictThread(landlock.Rules{Read: []string{"/etc", "/usr", "/lib", "/lib64", filepath.Dir(exe), "/sys/kernel/mm"}, Write: []string{"/dev/null"}})
	if err != nil && !errors.Is(err, landlock.ErrAbsent) {
		return err
	}
	return cmd.Start()
}

// Helper returns a client of the helper that was started before root was left;
// nil if none was.
func Helper() (*shadow.Client, error) {
	text := os.Getenv(helperSocket)
	if text == "" {
		return nil, nil
	}
	os.Unsetenv(helperSocket)
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", helperSocket, err)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "shadow helper")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", helperSocket, err)
	}
	return shadow.NewClient(conn, ""), nil
}
