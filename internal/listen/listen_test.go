package listen

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const v2sig = "\r\n\r\n\x00\r\nQUIT\n"

func TestReadHeader(t *testing.T) {
	v4 := "\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x30\x39\x00\x19"
	v6 := "\x21\x21\x00\x24\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07" + strings.Repeat("\x00", 16) + "\x30\x39\x00\x19"
	for _, tt := range []struct {
		name, header, want string
		bad                bool
	}{
		{"v1, IPv4", "PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\r\n", "203.0.113.9:12345", false},
		{"v1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 12345 25\r\n", "[2001:db8::7]:12345", false},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "", false},
		{"v1, unknown with more", "PROXY UNKNOWN ff:ff::1 ff::2 1 2\r\n", "", false},
		{"v1, other family", "PROXY TCP4 2001:db8::7 192.0.2.1 12345 25\r\n", "", true},
		{"v1, zone", "PROXY TCP6 fe80::1%eth0 fe80::2 12345 25\r\n", "", true},
		{"v1, port", "PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n", "", true},
		{"v1, bare LF", "PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\n", "", true},
		{"v1, long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "", true},
		{"v2, IPv4", v2sig + v4, "203.0.113.9:12345", false},
		{"v2, IPv6", v2sig + v6, "[2001:db8::7]:12345", false},
		{"v2, with TLVs", v2sig + "\x21\x11\x00\x10" + v4[4:] + "\x04\x00\x01\x00", "203.0.113.9:12345", false},
		{"v2, local", v2sig + "\x20\x00\x00\x00", "", false},
		{"v2, UNIX", v2sig + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), "", false},
		{"v2, short", v2sig + "\x21\x11\x00\x04\xcb\x00\x71\x09", "", true},
		{"v2, cut off", v2sig + v4[:8], "", true},
		{"v2, long", v2sig + "\x21\x11\xff\xff" + strings.Repeat("x", 65535), "", true},
		{"v3", v2sig + "\x31\x11\x00\x0c" + v4[4:], "", true},
		{"SMTP", "EHLO client.example\r\n", "", true},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00", "", true},
		{"nothing", "", "", true},
	} {
		in := bytes.NewBufferString(tt.header + "behind")
		got, err := ReadHeader(in)
		if tt.want == "" && got.IsValid() || tt.want != "" && got.String() != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
		if err == nil && in.String() != "behind" {
			t.Errorf("%s: %q is left", tt.name, in)
		}
	}
}

// FuzzReadHeader holds that no header reads beyond its bound, and that a client
// has a whole address.
func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\r\nrest"))
	f.Add([]byte(v2sig + "\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x30\x39\x00\x19rest"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		client, err := ReadHeader(in)
		if read := len(data) - in.Len(); read > 16+maxV2 {
			t.Errorf("%d bytes read", read)
		}
		if err == nil && client.IsValid() && (client.Addr().Zone() != "" || client.Addr().Is4In6()) {
			t.Error(client)
		}
	})
}

func TestBehind(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	begun := make(chan struct{})
	l := Behind(inner, func() (*Config, error) {
		cfg := &Config{Trusted: []string{"127.0.0.1"}, Timeout: 2 * time.Minute}
		if conns.Add(1) == 1 { // who says nothing
			cfg.Timeout = 200 * time.Millisecond
			close(begun)
		}
		return cfg, nil
	}, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() {
		served <- Serve(t.Context(), l, nil, func(c net.Conn) {
			line, _ := bufio.NewReader(c).ReadString('\n')
			fmt.Fprintf(c, "%s %s", c.RemoteAddr(), line)
			c.Close()
		})
	}()
	say := func(from, text string) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		io.WriteString(c, text)
		out, _ := io.ReadAll(c)
		return string(out)
	}
	slow, err := net.Dial("tcp", inner.Addr().String()) // says nothing, and is in nobody's way
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	<-begun
	if got := say("127.0.0.1", "PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\r\nhello\n"); got != "203.0.113.9:12345 hello\n" {
		t.Errorf("%q", got)
	}
	if got := say("127.0.0.1", v2sig+"\x20\x00\x00\x00hello\n"); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("of the proxy itself: %q", got)
	}
	if got := say("127.0.0.2", "PROXY TCP4 203.0.113.9 192.0.2.1 12345 25\r\nhello\n"); got != "" {
		t.Errorf("of somebody else: %q", got)
	}
	if got := say("127.0.0.1", "EHLO x\r\nhello hello hello\n"); got != "" {
		t.Errorf("without a header: %q", got)
	}
	slow.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := slow.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("who says nothing: %v", err)
	}
	l.Close()
	if err := <-served; err == nil {
		t.Error("served on")
	}
	if _, err := l.Accept(); err == nil {
		t.Error("accepts when closed")
	}
	if err := (&Config{Trusted: []string{"10.0.0.1/8"}}).Validate(); err == nil {
		t.Error("10.0.0.1/8 is a network")
	}
}

func TestSocketModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // the second finds what the first has left
		l, err := Socket{Address: "unix:" + path, Mode: "0660"}.Listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v", st, err)
		}
		l.Close()
	}
	if _, err := (Socket{Address: "unix:" + path, Mode: "rw"}).Listen(t.Context()); err == nil {
		t.Error("mode rw")
	}
	if _, err := (Socket{Address: "127.0.0.1:0", Interface: "nosuch0"}).Listen(t.Context()); err == nil {
		t.Error("an interface that is not there")
	}
	l, err := Socket{Address: "127.0.0.1:0", Interface: "lo"}.Listen(t.Context())
	if err != nil {
		t.Skip(err) // old kernels ask for a right
	}
	l.Close()
}

// TestInherit runs itself with sockets as systemd hands them over.
func TestInherit(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		in := Inherit(func(name string) string {
			if name == "LISTEN_PID" {
				return fmt.Sprint(os.Getpid())
			}
			return os.Getenv(name)
		})
		for _, address := range strings.Fields(os.Getenv("ADDRESSES")) {
			l := in.Find(address)
			if l == nil {
				t.Fatalf("no socket for %s", address)
			}
			l.Close()
			if l = in.Find(address); l == nil { // again, as for a changed row
				t.Fatalf("no socket for %s the second time", address)
			}
			l.Close()
		}
		if in.Find("127.0.0.1:1") != nil {
			t.Fatal("a socket for any address")
		}
		return
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path := filepath.Join(t.TempDir(), "s")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	f1, _ := tcp.(*net.TCPListener).File()
	f2, _ := local.(*net.UnixListener).File()
	cmd := exec.Command(os.Args[0], "-test.run", "TestInherit$")
	cmd.ExtraFiles = []*os.File{f1, f2}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=2", "ADDRESSES="+tcp.Addr().String()+" unix:"+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error("the path is gone: ", err)
	} else {
		c.Close()
	}
	if in := Inherit(func(string) string { return "3" }); in.Find("127.0.0.1:25") != nil || len(in.files) != 0 {
		t.Error("sockets of another process")
	}
}

func TestSame(t *testing.T) {
	at := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, tt := range []struct {
		address string
		have    net.Addr
		same    bool
	}{
		{":25", at("[::]:25"), true}, {"0.0.0.0:25", at("0.0.0.0:25"), true}, {"127.0.0.1:25", at("127.0.0.1:25"), true},
		{"127.0.0.1:25", at("127.0.0.1:26"), false}, {"127.0.0.1:25", at("[::]:25"), false}, {":25", at("127.0.0.1:25"), false},
		{"[::1]:25", at("[::1]:25"), true}, {"mx.example:25", at("[::]:25"), false}, {"unix:/a", &net.UnixAddr{Name: "/a", Net: "unix"}, true},
		{"unix:/a", &net.UnixAddr{Name: "/b", Net: "unix"}, false}, {"unix:/a", at("[::]:25"), false},
	} {
		if Same(tt.address, tt.have) != tt.same {
			t.Errorf("%s, %s", tt.address, tt.have)
		}
	}
}
