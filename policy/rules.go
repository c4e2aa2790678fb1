package policy

// rule is a restriction: one row of the language.
type rule struct {
	name  string
	arg   argKind
	needs need
	// run evaluates it. nil: the language has it, this server does not; it
	// answers 451 4.3.5 when it is reached, and Check names it.
	run func(*query, *item) outcome
	// prefix marks warn_if_reject, which holds for what follows it.
	prefix bool
}

// need is what a restriction looks at. Where it is not known yet, as a
// recipient is not in smtpd_client_restrictions with smtpd_delay_reject=no, the
// restriction says dunno.
type need int

const (
	nothing need = iota
	helo
	sender
	recipient
	etrn
)

// aliases are older names of restrictions, postconf(5) still knows them.
var aliases = map[string]string{
	"reject_unknown_client":     "reject_unknown_client_hostname",
	"reject_invalid_hostname":   "reject_invalid_helo_hostname",
	"reject_non_fqdn_hostname":  "reject_non_fqdn_helo_hostname",
	"reject_unknown_hostname":   "reject_unknown_helo_hostname",
	"reject_unknown_address":    "reject_unknown_sender_domain",
	"reject_rbl":                "reject_rbl_client",
	"reject_dnsbl_client":       "reject_rbl_client",
	"check_recipient_maps":      "reject_unlisted_recipient",
	"reject_sender_login_missm": "reject_sender_login_mismatch",
}

// ruleTable returns the language by name.
func ruleTable() map[string]*rule {
	all := make(map[string]*rule)
	for _, part := range [][]rule{genericRules, serviceRules, authenticRules(), greylistRules(), verifyRules(), clientRules(), heloRules(), senderRules(), recipientRules(), dnsRules(), listRules(), serverRules(), unbuiltRules} {
		for i := range part {
			all[part[i].name] = &part[i]
		}
	}
	for old, name := range aliases {
		if r := all[name]; r != nil {
			all[old] = r
		}
	}
	return all
}

// serviceRules ask other programs.
var serviceRules = []rule{{name: "check_policy_service", arg: serverArg, run: runPolicyService}}

// unbuiltRules are the restrictions of postconf(5) that this server knows by
// name only.
var unbuiltRules = []rule{
	{name: "reject_maps_rbl"},
	{name: "check_relay_domains", needs: recipient},
	{name: "permit_naked_ip_address", needs: helo},
}
