package auth

import (
	"fmt"
	"strings"

	mech "mailserver/internal/sasl"
)

// canonical makes the log-in name of what a client sent. The result is in
// lower case, since look-ups know no case and one mailbox must have one name.
func canonical(cfg *Config, sent string) (string, error) {
	name := sent
	if cfg.DefaultRealm != "" && !strings.Contains(name, "@") {
		name += "@" + cfg.DefaultRealm
	}
	name, err := expandName(cfg.UsernameFormat, name)
	if err != nil {
		return "", err
	}
	return strings.ToLower(name), nil
}

// expandName replaces the variables of auth_username_format. One that is not
// known here is an error that names it.
func expandName(format, name string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		upper, lower := false, false
		for i++; i < len(format) && (format[i] == 'L' || format[i] == 'U'); i++ {
			upper, lower = format[i] == 'U', format[i] == 'L'
		}
		if i == len(format) {
			return "", fmt.Errorf("setting auth_username_format: %q ends in a variable", format)
		}
		value, ok := nameVariable(format[i], name)
		switch {
		case !ok:
			return "", fmt.Errorf("setting auth_username_format: %%%c is not known", format[i])
		case upper:
			value = strings.ToUpper(value)
		case lower:
			value = strings.ToLower(value)
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

func nameVariable(letter byte, name string) (string, bool) {
	at := strings.LastIndexByte(name, '@')
	switch {
	case letter == '%':
		return "%", true
	case letter == 'u', letter == 'n' && at < 0:
		return name, true
	case letter == 'n':
		return name[:at], true
	case letter == 'd' && at < 0:
		return "", true
	case letter == 'd':
		return name[at+1:], true
	}
	return "", false
}

// validName reports whether a name can be anybody's.
func validName(name string) bool {
	if name == "" || len(name) > mech.MaxName {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}
