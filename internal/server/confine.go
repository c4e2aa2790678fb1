package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mailserver/internal/config"
	"mailserver/internal/landlock"
)

// confined is the variable that says, with the version of landlock, that the
// process is held to its files already.
const confined = "MAILSERVER_LANDLOCK"

// Confined returns the version of landlock that holds this process; 0 if none.
func Confined() int {
	version, _ := strconv.Atoi(os.Getenv(confined))
	os.Unsetenv(confined)
	return version
}

// confineAnew starts the program anew under landlock, if the setting says so
// and it is not there yet, and else with timer slack.
func confineAnew(ctx context.Context, dir string, p *config.Process) error {
	if os.Getenv(confined) != "" {
		relaxAnew()
		return nil
	}
	exe, err := ownProgram()
	if err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	home := ""
	if u, err := user.Current(); err == nil {
		home = u.HomeDir
	}
	rules, err := confinement(ctx, dir, exe, p, home)
	if err != nil {
		return err
	}
	if rules == nil {
		relaxAnew()
		return nil
	}
	runtime.LockOSThread() // never unlocked: execve replaces the thread, or it ends
	return fmt.Errorf("start anew under landlock: %w", confinedExec(exe, rules))
}

// ownProgram is the path of this program; without /proc, as it was called.
func ownProgram() (string, error) {
	exe, err := os.Executable()
	if errors.Is(err, os.ErrNotExist) && filepath.IsAbs(os.Args[0]) {
		return os.Args[0], nil
	}
	return exe, err
}

// confinedExec starts the program anew, under rules if there are any. It
// returns on error only; the calling thread is locked.
func confinedExec(exe string, rules *landlock.Rules) error {
	if rules != nil {
		if err := landlock.RestrictThread(*rules); err != nil {
			return err
		}
		os.Setenv(confined, strconv.Itoa(landlock.Version()))
	}
	relax() // as relaxAnew would, with one start less
	return syscall.Exec(exe, os.Args, os.Environ())
}

// confinement returns the rules for this process; nil when it has none.
func confinement(ctx context.Context, dir, exe string, p *config.Process, home string) (*landlock.Rules, error) {
	if landlock.Version() == 0 || !wanted(p) {
		return nil, nil
	}
	texts, err := pathTexts(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("landlock: %w", err)
	}
	data, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("landlock: %w", err)
	}
	r := &landlock.Rules{Read: append([]string{filepath.Dir(exe)}, systemRead...), Write: append([]string{data, os.TempDir()}, systemWrite...)}
	if own(home) {
		r.Write = append(r.Write, home)
	}
	for _, text := range texts {
		for _, path := range namedPaths(text) {
			permit(r, path)
		}
	}
	return r, nil
}

// What every server may reach: programs and libraries, names of hosts and
// users, certificates, what the kernel says.
var (
	systemRead  = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu", "/etc", "/run", "/var/run", "/proc", "/sys", "/dev"}
	systemWrite = []string{"/tmp", "/var/tmp", "/dev/null", "/dev/shm", "/dev/tty"}
)

// wanted reports what the setting landlock comes to. A server that acts for
// users has commands of theirs, which would be held too; where no_new_privs is
// not set, they may need more rights than it has.
func wanted(p *config.Process) bool {
	if p.Landlock != "auto" {
		return p.Landlock == "yes"
	}
	have, err := permitted()
	bound, err2 := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && err2 == nil && bound == 1 && !have(unix.CAP_SETUID)
}

// pathTexts returns all that rows and settings say that may name files.
func pathTexts(ctx context.Context, dir string) ([]string, error) {
	p := &Parts{Dir: dir}
	if err := p.openMail(ctx); err != nil {
		return nil, err
	}
	defer p.Close()
	texts, err := p.Mail.PathTexts(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range p.Config.Fields() {
		value, _, err := p.Config.Value(ctx, f.Name)
		if err != nil {
			return nil, err
		}
		texts = append(texts, value)
	}
	return texts, nil
}

// namedPaths finds the absolute paths in a text, each up to its first variable.
func namedPaths(text string) []string {
	var list []string
	for at := 0; at < len(text); at++ {
		if text[at] != '/' || at > 0 && !strings.ContainsRune(" \t,:|\"'=<>;({[", rune(text[at-1])) {
			continue
		}
		path := text[at:]
		if end := strings.IndexAny(path, " \t\r\n,:|\"'<>;)}]"); end >= 0 {
			path = path[:end]
		}
		at += len(path)
		if v := strings.IndexAny(path, "%$"); v >= 0 {
			path = path[:strings.LastIndexByte(path[:v], '/')]
		}
		if path != "" {
			list = append(list, filepath.Clean(path))
		}
	}
	return list
}

// permit adds what a row names: a directory, or that of a file, since files
// are written beside the old ones. Of what is not there, it is what is there of
// its way; what is the system's can only be read.
func permit(r *landlock.Rules, path string) {
	st, err := os.Stat(path)
	for errors.Is(err, os.ErrNotExist) && path != "/" {
		path = filepath.Dir(path)
		st, err = os.Stat(path)
	}
	if err != nil {
		return
	}
	dir := path
	if !st.IsDir() {
		dir = filepath.Dir(path)
	}
	if own(dir) {
		r.Write = append(r.Write, dir)
	} else if dir != path && !isSystem(path) {
		r.Write = append(r.Write, path)
	}
}

// own reports whether a directory can be a mail server's, and not all others' too.
func own(dir string) bool {
	return filepath.IsAbs(dir) && !isSystem(dir) && !slices.Contains(shared, dir)
}

// shared are directories that everybody has something in.
var shared = []string{"/", "/home", "/root", "/var", "/var/lib", "/var/spool", "/srv", "/mnt", "/media", "/boot", "/run", "/var/run"}

// isSystem reports whether a path is, or lies below, one of systemRead. What lies
// below /run is made by servers.
func isSystem(path string) bool {
	return slices.ContainsFunc(systemRead, func(of string) bool {
		return path == of || of != "/run" && of != "/var/run" && strings.HasPrefix(path, of+"/")
	})
}
