package listen

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket says where to listen.
type Socket struct {
	Address   string // host:port, :port, or unix:/path
	Interface string // '': any
	Mode      string // of a path, in octal; '': by the umask
}

// Listen binds a socket. The caller knows that no other server has its path.
func (s Socket) Listen(ctx context.Context) (net.Listener, error) {
	path, isPath := strings.CutPrefix(s.Address, "unix:")
	if isPath {
		return s.listenPath(ctx, path)
	}
	lc := net.ListenConfig{}
	if s.Interface != "" {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var fault error
			if err := c.Control(func(fd uintptr) { fault = unix.BindToDevice(int(fd), s.Interface) }); err != nil {
				return err
			}
			if fault != nil {
				return fmt.Errorf("interface %s: %w", s.Interface, fault)
			}
			return nil
		}
	}
	return lc.Listen(ctx, "tcp", s.Address)
}

func (s Socket) listenPath(ctx context.Context, path string) (net.Listener, error) {
	mode := uint64(0)
	if s.Mode != "" {
		var err error
		if mode, err = strconv.ParseUint(s.Mode, 8, 9); err != nil {
			return nil, fmt.Errorf("mode %q of %s is not octal", s.Mode, path)
		}
	}
	// The socket of a server that was killed is in the way; the lock on the
	// data directory says that none is running.
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
		os.Remove(path)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil || s.Mode == "" {
		return l, err
	}
	if err := os.Chmod(path, os.FileMode(mode)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Inherited are the sockets that systemd has opened, sd_listen_fds(3).
type Inherited struct{ files []*os.File }

// firstFD is SD_LISTEN_FDS_START.
const firstFD = 3

// Inherit takes them over, when they are for this process; getenv is
// os.Getenv.
func Inherit(getenv func(string) string) *Inherited {
	in := new(Inherited)
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if pid := getenv("LISTEN_PID"); err != nil || n < 1 || n > 1000 || pid != strconv.Itoa(os.Getpid()) {
		return in
	}
	for fd := firstFD; fd < firstFD+n; fd++ {
		syscall.CloseOnExec(fd)
		in.files = append(in.files, os.NewFile(uintptr(fd), "socket of systemd"))
	}
	return in
}

// Find returns a listener on the inherited socket for an address; nil if there
// is none. The socket itself stays with systemd: who closes the listener leaves
// clients waiting for the next one.
func (in *Inherited) Find(address string) net.Listener {
	for _, f := range in.files {
		l, err := net.FileListener(f)
		if err != nil {
			continue // no stream socket
		}
		if Same(address, l.Addr()) {
			if u, ok := l.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(false)
			}
			return l
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		l.Close()
	}
	return nil
}

// Same reports whether a socket is the one for the address of a row.
func Same(address string, have net.Addr) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return have.Network() == "unix" && have.String() == path
	}
	tcp, ok := have.(*net.TCPAddr)
	host, port, err := net.SplitHostPort(address)
	if !ok || err != nil || port != strconv.Itoa(tcp.Port) {
		return false
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return ip.Equal(tcp.IP)
	}
	return (host == "" || net.ParseIP(host) != nil) && tcp.IP.IsUnspecified() || host == "localhost" && tcp.IP.IsLoopback()
}
