package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mailserver/internal/dns/dnstest"
)

// programVar names the built program, for a test that runs itself again.
const programVar = "MAILSERVER_TEST_PROGRAM"

// ownNetwork runs the test again in a network of its own, where every port of
// 127.0.0.0/8 is free and the DNS server is the test's: with real MX records,
// port 25 and nothing said to the program. It reports whether this is there.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(programVar) != "" {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: a network of its own")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), programVar+"="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil:
		if os.Getenv("MAILSERVER_PEERS") != "" {
			t.Fatalf("no network of its own: %v", err)
		}
		t.Skipf("no network of its own: %v", err)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// startNetwork makes the loopback interface work, and has the DNS server of a
// zone be the system's.
func startNetwork(t *testing.T, zone string) *dnstest.Server {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err == nil {
		lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n", "/etc/hosts": "127.0.0.1 localhost\n"} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(file, name, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(name, unix.MNT_DETACH) })
	}
	return dnstest.StartAt(t, "127.0.0.1:53", zone)
}
