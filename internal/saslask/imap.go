package saslask

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// dialIMAP connects to an IMAP server whose passwords are to be believed. Its
// certificate is verified, since a false server would learn passwords; only on
// this host itself it may go without TLS.
func dialIMAP(ctx context.Context, kind, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), map[string]string{"imap": "143", "imaps": "993"}[kind]
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if kind == "imaps" {
		return tls.Client(c, conf), nil
	}
	if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && peer.Addr().Unmap().IsLoopback() {
		return c, nil
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	in := bufio.NewReaderSize(c, maxLine)
	if err := greetingIMAP(in); err != nil {
		c.Close()
		return nil, err
	}
	io.WriteString(c, "t STARTTLS\r\n")
	line, err := replyIMAP(in, "t ")
	if err == nil && (!strings.HasPrefix(line, "OK") || in.Buffered() > 0) {
		err = errors.New(line)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("STARTTLS: %w", err)
	}
	return &greeted{tls.Client(c, conf)}, nil
}

// greeted is a connection on which the greeting was read before.
type greeted struct{ net.Conn }

// askIMAP is LOGIN, RFC 9051 §6.2.3, as saslauthd -a rimap does it.
func askIMAP(c net.Conn, q Question) (bool, error) {
	in := bufio.NewReaderSize(c, maxLine)
	if _, ok := c.(*greeted); !ok {
		if err := greetingIMAP(in); err != nil {
			return false, err
		}
	}
	last := fmt.Sprintf("a LOGIN {%d}\r\n", len(q.User))
	for _, text := range []string{fmt.Sprintf("%s {%d}\r\n", q.User, len(q.Password)), q.Password + "\r\n"} {
		if _, err := io.WriteString(c, last); err != nil {
			return false, err
		}
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return false, err
		case line[0] != '+':
			return false, fmt.Errorf("no literal is taken: %.100s", line)
		}
		last = text
	}
	if _, err := io.WriteString(c, last); err != nil {
		return false, err
	}
	line, err := replyIMAP(in, "a ")
	if err != nil {
		return false, err
	}
	word, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(word) {
	case "OK":
		io.WriteString(c, "z LOGOUT\r\n")
		return true, nil
	case "NO":
		for _, code := range []string{"[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[LIMIT]", "[CONTACTADMIN]"} { // RFC 9051 §7.1
			if strings.HasPrefix(strings.ToUpper(rest), code) {
				return false, fmt.Errorf("not now: %.100s", rest)
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("odd reply: %.100s", line)
}

func greetingIMAP(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if !strings.HasPrefix(strings.ToUpper(string(line)), "* OK") {
		return fmt.Errorf("greeting: %.100s", line)
	}
	return nil
}

// replyIMAP reads over what is not tagged, up to a bound.
func replyIMAP(in *bufio.Reader, tag string) (string, error) {
	for range 100 {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if after, ok := strings.CutPrefix(text, tag); ok {
			return after, nil
		}
		if strings.HasPrefix(strings.ToUpper(text), "* BYE") {
			return "", fmt.Errorf("it says %.100s", text)
		}
	}
	return "", errors.New("no end of replies")
}
