package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// shadowFile is read at every log-in of a system user, so that passwd(1) acts
// at once. The server may read it by CAP_DAC_OVERRIDE.
const shadowFile = "/etc/shadow"

// maxShadow bounds the file, in bytes.
const maxShadow = 4 << 20

// systemUser asks the users of the system, when the setting says so. known is
// false for one who is not among them. Bare names are theirs, and those in
// $myhostname.
func (s *Service) systemUser(cfg *Config, a *account) (known bool, err error) {
	if !cfg.SystemUsers {
		return false, nil
	}
	name := a.name
	if i := strings.LastIndexByte(name, '@'); i > 0 && strings.EqualFold(name[i+1:], cfg.Hostname) {
		name = name[:i]
	}
	if strings.ContainsAny(name, ":/@") {
		return false, nil
	}
	u, err := s.d.LookupUser(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up user %s: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid < cfg.FirstUID {
		a.refuse("user %s is below first_valid_uid", name)
		return true, nil
	}
	a.name = name
	return true, s.shadowPassword(a)
}

// shadowPassword fills in the password of a user from shadow(5).
func (s *Service) shadowPassword(a *account) error {
	fields, err := shadowLine(s.d.Shadow, a.name)
	if err != nil {
		return err
	}
	switch {
	case fields == nil:
		a.refuse("no line in %s", s.d.Shadow)
	case fields[1] == "" || strings.ContainsAny(fields[1][:1], "!*"):
		a.refuse("user has no password, or it is locked")
	case isPast(fields[7], s.d.Now()):
		a.refuse("account has expired")
	default:
		a.secrets = []secret{{stored: "{CRYPT}" + fields[1]}}
	}
	return nil
}

// shadowLine returns the nine fields of a user; nil if there is no line.
func shadowLine(file, name string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read passwords of the system: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxShadow))
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
