package server

import (
	"context"
	"net/netip"
	"strings"

	"mailserver/internal/nets"
)

// clientRow looks an address up in access tables: the first row that has it
// decides, by the address itself or as a network.
func (s *Server) clientRow(ctx context.Context, tables []string, a netip.Addr) (action string, ok bool, err error) {
	view, err := s.Mail.View(ctx)
	if err != nil {
		return "", false, err
	}
	a = a.Unmap()
	for _, table := range tables {
		if _, name, typed := strings.Cut(table, ":"); typed {
			table = name
		}
		action, err := view.Access(ctx, table, a.String())
		if err != nil || action != "" {
			return action, action != "", err
		}
		rows, err := view.AccessRows(ctx, table)
		if err != nil {
			return "", false, err
		}
		for _, r := range rows {
			net, not := strings.CutPrefix(r.Key, "!")
			p, err := nets.Parse(net)
			if r.Type == "cidr" && err == nil && p.Contains(a) != not {
				return r.Action, true, nil
			}
		}
	}
	return "", false, nil
}
