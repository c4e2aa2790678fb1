// Package shadow reads the passwords of the users of the system, shadow(5),
// and lets a small process with the right to do so verify them for one without.
package shadow

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// File is where the system has its passwords.
const File = "/etc/shadow"

// maxFile bounds the file, in bytes.
const maxFile = 4 << 20

// Lookup returns the stored password of a user, a crypt(3) string; without one
// that may be used, why says so. The file is read at each call, so that
// passwd(1) acts at once.
func Lookup(file, name string, now time.Time) (stored, why string, err error) {
	fields, err := line(file, name)
	if err != nil {
		return "", "", err
	}
	switch {
	case fields == nil:
		return "", "no line in " + file, nil
	case fields[1] == "" || strings.ContainsAny(fields[1][:1], "!*"):
		return "", "user has no password, or it is locked", nil
	case isPast(fields[7], now):
		return "", "account has expired", nil
	}
	return fields[1], "", nil
}

// line returns the nine fields of a user; nil if there is no line.
func line(file, name string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read passwords of the system: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read passwords of the system: %w", err)
	}
	for line := range bytes.Lines(text) {
		fields := strings.Split(string(bytes.TrimRight(line, "\n")), ":")
		if len(fields) == 9 && fields[0] == name {
			return fields, nil
		}
	}
	return nil, nil
}

// isPast reads a day of shadow(5), counted from 1970; ” is never.
func isPast(day string, now time.Time) bool {
	n, err := strconv.ParseInt(day, 10, 32)
	return err == nil && now.Unix() >= n*24*60*60
}

// Stamp changes with the file; everybody may look at it.
func Stamp(file string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", fmt.Errorf("passwords of the system: stat %s: %w", file, err)
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim), nil
}
