package sqlremote

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// several tries one host after the other.
type several []driver.Connector

// Connect implements driver.Connector.
func (s several) Connect(ctx context.Context) (driver.Conn, error) {
	var errs []error
	for _, c := range s {
		conn, err := c.Connect(ctx)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Driver implements driver.Connector.
func (s several) Driver() driver.Driver { return s[0].Driver() }

func mysqlConnector(u *url.URL) (driver.Connector, error) {
	var list several
	places := strings.Split(u.Host, ",")
	socket := u.Query().Get("socket")
	if socket != "" {
		places = []string{socket}
	}
	for _, place := range places {
		c := mysql.NewConfig()
		c.User = u.User.Username()
		c.Passwd, _ = u.User.Password()
		c.DBName = strings.TrimPrefix(u.Path, "/")
		c.Net, c.Addr = "tcp", place
		if socket != "" {
			c.Net = "unix"
		} else if _, _, err := net.SplitHostPort(place); err != nil {
			c.Addr = net.JoinHostPort(strings.Trim(place, "[]"), "3306")
		}
		c.Timeout, c.ReadTimeout, c.WriteTimeout = connectTime, Timeout, Timeout
		c.TLSConfig = u.Query().Get("tls")
		c.Logger = &mysql.NopLogger{}
		one, err := mysql.NewConnector(c)
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", place, err)
		}
		list = append(list, one)
	}
	return list, nil
}
