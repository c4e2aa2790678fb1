// Package saslask asks another program whether a password is right: the
// authentication socket of a Dovecot, or saslauthd of Cyrus.
package saslask

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

// Question is one password to be verified.
type Question struct {
	User     string
	Password string
	Service  string // smtp, imap, pop3
	Remote   string // address of the client; '' not known
}

const (
	askTime = 15 * time.Second
	maxLine = 8192
)

// kinds are the kinds of servers that can be asked.
var kinds = []string{"dovecot", "saslauthd", "imap", "imaps"}

// Check returns what is wrong with the name of a server; nil if nothing is.
func Check(server string) error {
	kind, address, _ := strings.Cut(server, ":")
	if !slices.Contains(kinds, kind) || address == "" {
		return fmt.Errorf("%q is none of dovecot:ADDRESS, saslauthd:PATH, imap:HOST, imaps:HOST", server)
	}
	return nil
}

// Ask asks a server: "dovecot:/path", "dovecot:host:port", "saslauthd:/path",
// "imap:host", "imaps:host", these two also with a port. An error means that there is no answer.
func Ask(ctx context.Context, server string, q Question) (ok bool, err error) {
	kind, address, _ := strings.Cut(server, ":")
	if err := Check(server); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := dial(ctx, kind, address)
	if err != nil {
		return false, err
	}
	defer c.Close()
	talk := map[string]func(net.Conn, Question) (bool, error){"dovecot": askDovecot, "saslauthd": askSaslauthd, "imap": askIMAP, "imaps": askIMAP}[kind]
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return talk(c, q)
}

func dial(ctx context.Context, kind, address string) (net.Conn, error) {
	if strings.HasPrefix(kind, "imap") {
		return dialIMAP(ctx, kind, address)
	}
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// askDovecot is PLAIN by the authentication protocol, version 1.
func askDovecot(c net.Conn, q Question) (bool, error) {
	in := bufio.NewReaderSize(c, maxLine)
	// The number must be no other client's.
	if _, err := fmt.Fprintf(c, "VERSION\t1\t1\nCPID\t%d\n", 1+rand.Uint32N(1<<31-2)); err != nil {
		return false, err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, fmt.Errorf("greeting: %w", err)
		}
		if string(line) == "DONE\n" {
			break
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "AUTH\t1\tPLAIN\tservice=%s\tsecured", clean(q.Service))
	if q.Remote != "" {
		fmt.Fprintf(&b, "\trip=%s", clean(q.Remote))
	}
	fmt.Fprintf(&b, "\tresp=%s\n", base64.StdEncoding.EncodeToString([]byte("\x00"+q.User+"\x00"+q.Password)))
	if _, err := io.WriteString(c, b.String()); err != nil {
		return false, err
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	f := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
	switch {
	case len(f) > 1 && f[0] == "OK" && f[1] == "1":
		return true, nil
	case len(f) > 1 && f[0] == "FAIL" && f[1] == "1":
		for _, p := range f[2:] {
			if p == "temp" || p == "code=temp_fail" {
				return false, errors.New("the other server cannot decide now")
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("odd answer %.40q", line)
}

func clean(s string) string { return strings.NewReplacer("\t", "", "\n", "", "\x01", "").Replace(s) }

// askSaslauthd sends four strings, each behind its length, and reads one:
// saslauthd(8).
func askSaslauthd(c net.Conn, q Question) (bool, error) {
	user, realm := q.User, ""
	if at := strings.LastIndexByte(q.User, '@'); at >= 0 {
		user, realm = q.User[:at], q.User[at+1:]
	}
	var b []byte
	for _, s := range []string{user, q.Password, q.Service, realm} {
		if len(s) > 1024 {
			return false, nil
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	if _, err := c.Write(b); err != nil {
		return false, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	answer := make([]byte, min(int(binary.BigEndian.Uint16(size[:])), 1024))
	if _, err := io.ReadFull(c, answer); err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	switch {
	case strings.HasPrefix(string(answer), "OK"):
		return true, nil
	case !strings.HasPrefix(string(answer), "NO"):
		return false, fmt.Errorf("odd answer %.40q", answer)
	}
	for _, t := range saslTroubles {
		if strings.HasPrefix(string(answer), "NO "+t) {
			return false, fmt.Errorf("the other server cannot decide now: %.80q", answer)
		}
	}
	return false, nil
}

// saslTroubles follow NO where it is not the password's fault, as the mechanisms
// of saslauthd(8) have it.
var saslTroubles = []string{
	"[ALERT]", // rimap
	"internal mechanism failure", "saslauthd internal error",
	"Username lookup failure", "Username shadow lookup failure", "Insufficient permission", // getpwent, shadow
	"PAM start error",
}
