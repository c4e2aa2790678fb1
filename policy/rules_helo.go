package policy

import (
	"strings"

	"mailserver/internal/address"
)

func heloRules() []rule {
	return []rule{
		{name: "check_helo_access", arg: tableArg, needs: helo, run: func(x *query, it *item) outcome {
			if !x.s.hasHelo {
				return dunno
			}
			out, _ := x.domainAccess(it, x.s.helo, true, x.s.helo, ClassHelo)
			return out
		}},
		{name: "reject_invalid_helo_hostname", needs: helo, run: heloName(func(x *query, name string) outcome {
			if address.ValidHostname(name) || validAddr(name) {
				return dunno
			}
			return x.refuse(x.cfg.InvalidNameCode, InvalidName, x.s.helo, ClassHelo, "")
		})},
		{name: "reject_non_fqdn_helo_hostname", needs: helo, run: heloName(func(x *query, name string) outcome {
			if address.ValidHostname(name) && strings.Contains(name, ".") {
				return dunno
			}
			return x.refuse(x.cfg.NonFQDNCode, NotFQDNHost, x.s.helo, ClassHelo, "")
		})},
		{name: "check_etrn_access", arg: tableArg, needs: etrn, run: func(x *query, it *item) outcome {
			if x.etrn == "" {
				return dunno
			}
			out, _ := x.domainAccess(it, x.etrn, true, x.etrn, ClassEtrn)
			return out
		}},
	}
}

// heloName makes a restriction of a test of the HELO name. [literals] must be
// addresses, whatever else is asked of names.
func heloName(test func(x *query, name string) outcome) func(*query, *item) outcome {
	return func(x *query, _ *item) outcome {
		switch {
		case !x.s.hasHelo:
			return dunno
		case !strings.HasPrefix(x.s.helo, "["):
			return test(x, trimDot(x.s.helo))
		case validLiteral(x.s.helo):
			return dunno
		}
		return x.refuse(x.cfg.InvalidNameCode, InvalidLiteral, x.s.helo, ClassHelo, "")
	}
}
