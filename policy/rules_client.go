package policy

import (
	"slices"
	"strings"
)

func clientRules() []rule {
	return []rule{
		{name: "permit_mynetworks", run: runMyNetworks},
		{name: "permit_inet_interfaces", run: runInterfaces},
		{name: "permit_sasl_authenticated", run: func(x *query, _ *item) outcome {
			if x.s.user == "" {
				return dunno
			}
			return permit
		}},
		{name: "permit_tls_clientcerts", run: func(x *query, _ *item) outcome { return x.certListed() }},
		{name: "permit_tls_all_clientcerts", run: runAllCerts},
		{name: "reject_unknown_client_hostname", run: runUnknownClient},
		{name: "reject_unknown_reverse_client_hostname", run: runUnknownReverse},
		{name: "check_client_access", arg: tableArg, run: func(x *query, it *item) outcome {
			return x.nameAddrAccess(it, x.s.client.Name, x.s.nameAddr(), ClassClient)
		}},
		{name: "check_reverse_client_hostname_access", arg: tableArg, run: func(x *query, it *item) outcome {
			name := x.s.client.ReverseName
			return x.neverPermit(it, name, x.nameAddrAccess(it, name, name, ClassReverse))
		}},
		{name: "check_sasl_access", arg: tableArg, run: func(x *query, it *item) outcome {
			if x.s.user == "" {
				return dunno
			}
			out, _ := x.key(it, x.s.user, true, x.s.user, ClassLogin)
			return out
		}},
		{name: "check_ccert_access", arg: tableArg, run: runCertAccess},
	}
}

func runMyNetworks(x *query, _ *item) outcome {
	text := strings.Join(x.cfg.MyNetworks, " ")
	nets := remember(x.made, x.made.nets, text, func() *netPattern { return parseNets(text) })
	if nets.bad != "" {
		return x.misconfigured("setting mynetworks: %s", nets.bad)
	}
	yes, out := x.inNets(nets)
	if out == refused || !yes {
		return out
	}
	return permit
}

func runInterfaces(x *query, _ *item) outcome {
	list, err := x.s.e.d.Interfaces()
	if err != nil {
		x.warnf("permit_inet_interfaces: %v", err)
		return dunno
	}
	if !slices.Contains(list, x.s.client.Addr) {
		return dunno
	}
	return permit
}

func runUnknownClient(x *query, _ *item) outcome {
	if !strings.EqualFold(x.s.client.Name, "unknown") {
		return dunno
	}
	return x.refuse(x.unknownClientCode(), NoHostname, x.s.nameAddr(), ClassClient, x.s.client.Addr.String())
}

func runUnknownReverse(x *query, _ *item) outcome {
	if !strings.EqualFold(x.s.client.ReverseName, "unknown") {
		return dunno
	}
	return x.refuse(x.unknownClientCode(), NoReverseName, x.s.nameAddr(), ClassClient, x.s.client.Addr.String())
}

// unknownClientCode never makes a permanent refusal of a look-up that failed
// for now.
func (x *query) unknownClientCode() int {
	if x.s.client.TempFail {
		return 450
	}
	return x.cfg.UnknownClientCode
}
