package route

import "strings"

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	for _, name := range c.LocalRecipients {
		switch strings.TrimPrefix(name, "proxy:") {
		case "unix:passwd.byname", "$alias_maps", "alias_maps", "address":
		default:
			return errUnknownMap(name)
		}
	}
	return c.validateSRS()
}
