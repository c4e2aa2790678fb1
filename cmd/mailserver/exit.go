package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"mailserver/internal/config"
	"mailserver/internal/control"
	"mailserver/internal/server"
	"mailserver/schema"
)

// Exit codes of sysexits(3), which scripts around mail know.
const (
	exitNotFound    = 1 // as postmap -q
	exitUsage       = 64
	exitData        = 65
	exitNoInput     = 66
	exitNoUser      = 67
	exitUnavailable = 69
	exitSoftware    = 70
	exitCantCreate  = 73
	exitTempFail    = 75
	exitNoPerm      = 77
	exitConfig      = 78
)

// usageError is a command line that says nothing that can be done.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

var (
	// errQuiet ends a command whose output has said everything.
	errQuiet = errors.New("")
	// errNotFound is the exit code 1 without words: a map has no such key.
	errNotFound = fmt.Errorf("%wnot found", errQuiet)
	// errFaults is the end of a check that found something.
	errFaults = fmt.Errorf("%wfaults were found", errQuiet)
	// errWrong is a password that does not fit.
	errWrong = fmt.Errorf("%wwrong password", errQuiet)
)

// exits says which code an error has; the first that fits.
var exits = []struct {
	is   error
	code int
}{
	{errNotFound, exitNotFound},
	{errWrong, exitNotFound},
	{errRefused, exitNotFound},
	{errFaults, exitConfig},
	{server.ErrConfig, exitConfig},
	{config.ErrInvalid, exitConfig},
	{schema.ErrNewer, exitConfig},
	{schema.ErrNoDatabase, exitConfig},
	{schema.ErrNotFound, exitNoUser},
	{errNoUser, exitNoUser},
	{schema.ErrExists, exitCantCreate},
	{os.ErrExist, exitCantCreate},
	{schema.ErrReferenced, exitData},
	{schema.ErrValue, exitData},
	{os.ErrPermission, exitNoPerm},
	{server.ErrRunning, exitTempFail},
	{control.ErrNotRunning, exitTempFail},
	{context.Canceled, exitTempFail},
	{syscall.EADDRINUSE, exitUnavailable},
	{os.ErrNotExist, exitNoInput},
}

func exitCode(err error) int {
	var u *usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	var x *exitError
	if errors.As(err, &x) {
		return x.code
	}
	for _, e := range exits {
		if errors.Is(err, e.is) {
			return e.code
		}
	}
	if schema.Damaged(err) {
		return exitConfig
	}
	return exitSoftware
}

// hint names the way out of an error, where there is one to name.
func hint(err error) string {
	switch {
	case errors.Is(err, schema.ErrNoDatabase):
		return "make one: mailserver init --data DIR --hostname NAME"
	case errors.Is(err, schema.ErrNewer):
		return "use the program that wrote it, or the copy beside it"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there; see: ss -ltnp"
	case schema.Damaged(err):
		return "the file is damaged: put a backup in its place, or save what can be read: sqlite3 FILE .recover"
	case errors.Is(err, os.ErrPermission):
		return "are you the user that owns the data directory?"
	}
	return ""
}
