package dovecot

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Validate returns the first value that cannot be acted on: "setting NAME: why".
func (cfg *Config) Validate() error {
	if _, err := strconv.ParseUint(cfg.Mode, 8, 9); err != nil {
		return fmt.Errorf("setting auth_socket_mode: %q is not such as 0660", cfg.Mode)
	}
	if cfg.Socket == "" || strings.HasPrefix(cfg.Socket, "/") {
		return nil
	}
	if at, err := netip.ParseAddrPort(cfg.Socket); err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("setting auth_socket: %q is neither a path nor address:port on loopback", cfg.Socket)
	}
	return nil
}

// Listen binds the socket of the settings. What lies at a path is replaced only
// if it is a socket.
func (cfg *Config) Listen() (net.Listener, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(cfg.Socket, "/") {
		return net.Listen("tcp", cfg.Socket)
	}
	mode, err := strconv.ParseUint(cfg.Mode, 8, 9)
	if err != nil {
		return nil, fmt.Errorf("auth_socket_mode: %w", err)
	}
	if st, err := os.Lstat(cfg.Socket); err == nil && st.Mode()&os.ModeSocket != 0 {
		os.Remove(cfg.Socket)
	}
	l, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("auth_socket: %w", err)
	}
	if err := cfg.give(os.FileMode(mode)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (cfg *Config) give(mode os.FileMode) error {
	if cfg.Group != "" {
		g, err := user.LookupGroup(cfg.Group)
		if err != nil {
			return fmt.Errorf("auth_socket_group: %w", err)
		}
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("auth_socket_group: %w", err)
		}
		if err := os.Chown(cfg.Socket, -1, gid); err != nil {
			return fmt.Errorf("auth_socket_group: %w", err)
		}
	}
	if err := os.Chmod(cfg.Socket, mode); err != nil {
		return fmt.Errorf("auth_socket_mode: %w", err)
	}
	return nil
}
