package policy

import (
	"fmt"
	"strings"
)

// Validate names the first setting whose value cannot be obeyed. Restrictions
// are for Check: their rows change on their own.
func (c *Config) Validate() error {
	for _, l := range []struct {
		name string
		list []string
	}{{"mynetworks", c.MyNetworks}, {"permit_mx_backup_networks", c.BackupNetworks}} {
		if n := parseNets(strings.Join(l.list, " ")); n.bad != "" {
			return fmt.Errorf("setting %s: %s", l.name, n.bad)
		}
	}
	return nil
}
