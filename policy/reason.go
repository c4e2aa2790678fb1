package policy

// Reason is why a verdict refuses. Its words stand in smtp/verdict.go.
type Reason int

const (
	None           Reason = iota
	AccessDenied          // reject, access(5) REJECT
	TryAgain              // defer
	RelayDenied           // reject_unauth_destination
	UserUnknown           // Detail: the table, "local recipient table"; '' hides it
	UserMoved             // relocated(5); Detail: the new address
	ConfigError           // an undefined restriction, a bad map: 451 4.3.5
	LookupFailure         // a look-up could not be answered now: 451 4.3.0
	ServiceRefused        // DEFER_IF_PERMIT and DEFER_IF_REJECT without text

	DeferIfPermit   // the restriction defer_if_permit itself
	DeferIfReject   // the restriction defer_if_reject itself
	NoHostname      // reject_unknown_client_hostname; Detail: the IP address
	NoReverseName   // reject_unknown_reverse_client_hostname; Detail: the IP address
	InvalidName     // reject_invalid_helo_hostname
	InvalidLiteral  // the same, for [1.2.3]
	NotFQDNHost     // reject_non_fqdn_helo_hostname
	NotFQDNAddress  // reject_non_fqdn_sender, reject_non_fqdn_recipient
	NeedEncryption  // reject_plaintext_session
	Pipelining      // reject_unauth_pipelining
	BounceToMany    // reject_multi_recipient_bounce
	NotOwned        // reject_authenticated_sender_login_mismatch; Detail: who is logged in
	NotLoggedIn     // reject_unauthenticated_sender_login_mismatch
	Undeliverable   // error(8) or retry(8) transport; Text says why
	HostNotFound    // reject_unknown_helo_hostname
	DomainNotFound  // reject_unknown_sender_domain, reject_unknown_recipient_domain
	MalformedDNS    // the same, when the DNS answer made no sense; Class tells which
	NullMX          // RFC 7505; Detail: the domain
	DNSListed       // reject_rbl_client and its kin; Detail: what the template of the list says
	NotAsked        // permit_dnswl_client and its kin could not be answered
	NoMailExchanger // permit_mx_backup could not look up; Detail: what
	PolicyFailure   // check_policy_service got no answer
	Unverified      // address verification has no answer; Detail: why
	UndeliverableTo // address verification says no; Detail: why
	Greylisted      // check_greylist
	SPFFailed       // reject_spf_fail, reject_spf_softfail; Detail: what the record says
	SPFUnknown      // the same, without an answer; Detail: about whom
	DMARCFailed     // reject_dmarc; Detail: what the record asks for
	DMARCUnknown    // the same, without an answer; Detail: about whom
	VerifyProblem   // address verification itself has failed
	SentTooMuch     // a user has sent enough; Detail: who, and the limit
	reasonEnd       // number of reasons
)

// Reasons is the number of Reason values, for tables that must hold them all.
const Reasons = int(reasonEnd)
