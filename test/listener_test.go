package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProxyProtocol: behind a proxy, addresses are the clients', in every
// protocol; nobody but the proxies may use such a listener.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.mustRun("config", "set", "haproxy_trusted_networks=127.0.0.1", "auth_throttle=no")
	h.sql("UPDATE Listener SET lsProxy = 1")
	h.start()
	for _, header := range []string{"PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x30\x39\x00\x19", "untrusted", "none"} {
		wait := "2m"
		if header == "none" {
			wait = "1s"
		}
		h.mustRun("config", "set", "haproxy_timeout="+wait)
		for port, banner := range map[int]string{25: "220 ", 587: "220 ", 465: "220 ", 143: "* OK ", 993: "* OK ", 110: "+OK ", 995: "+OK "} {
			d := net.Dialer{}
			if header == "untrusted" {
				d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
			}
			conn, err := d.Dial("tcp", h.addr(port))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patience))
			good := header[0] == 'P' || header[0] == '\r'
			if good {
				fmt.Fprint(conn, header)
			}
			var in net.Conn = conn
			if port == 465 || port == 993 || port == 995 {
				in = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			line, err := bufio.NewReader(in).ReadString('\n')
			if got := strings.HasPrefix(line, banner); got != good {
				t.Errorf("port %d, %.6q: %q, %v", port, header, line, err)
			}
			conn.Close()
		}
	}
	h.mustRun("config", "set", "haproxy_timeout=2m")
	conn := proxyDial(t, h, 993)
	fmt.Fprint(conn, "a LOGIN joe@vmail.example wrong\r\n")
	untilTag(t, bufio.NewReader(conn), "a NO ")
	conn.Close()
	for _, want := range []string{"rip=203.0.113.9", "[203.0.113.9]", "it is not in haproxy_trusted_networks"} {
		h.waitLog(want)
	}
}

func proxyDial(t *testing.T, h *host, port int) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", h.addr(port))
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(nc, "PROXY TCP4 203.0.113.9 192.0.2.1 12345 993\r\n")
	return tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
}

// waitLog waits for a text in the log.
func (h *host) waitLog(want string) {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(h.log.tail(10000), want) {
			return
		}
		if time.Now().After(end) {
			h.t.Errorf("the log has no %q:\n%s", want, h.log.tail(10))
			return
		}
	}
}

// TestSocketActivation serves on a socket that was open before the server was
// there, and on a path with its mode.
func TestSocketActivation(t *testing.T) {
	h := sampleHost(t, "")
	l, err := net.Listen("tcp", h.addr(143))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	early, err := net.Dial("tcp", h.addr(143)) // waits for the server to come
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	dir, err := os.MkdirTemp("", "ls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "lmtp")
	h.sql(fmt.Sprintf("INSERT INTO Listener (lsProtocol, lsAddress, lsTls, lsMode) VALUES ('lmtp', 'unix:%s', 'none', '0666'); UPDATE Listener SET lsInterface = 'lo' WHERE lsAddress LIKE '%%:%d'", path, h.base+110))
	h.command = exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --data "$1"`, program, h.dir)
	h.command.ExtraFiles = []*os.File{file}
	h.start()
	early.SetDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(early).ReadString('\n'); !strings.HasPrefix(line, "* OK ") {
		t.Errorf("%q, %v", line, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", st, err)
	}
	for network, address := range map[string]string{"unix": path, "tcp": h.addr(110)} {
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") && !strings.HasPrefix(line, "+OK ") {
			t.Errorf("%s: %q, %v", address, line, err)
		}
		conn.Close()
	}
}
