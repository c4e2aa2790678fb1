package policy

import "time"

// Config is policy's part of the settings. Lists are texts in the language of
// restrictions: names by comma or space, {} around what belongs together.
type Config struct {
	Hostname    string   `setting:"myhostname" default:"localhost"`
	MyNetworks  []string `setting:"mynetworks" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`
	Delimiter   string   `setting:"recipient_delimiter" default:"+"`
	DelayReject bool     `setting:"smtpd_delay_reject" default:"yes"`
	SoftBounce  bool     `setting:"soft_bounce" default:"no"`

	// Lists of the MX. The class of a recipient stands after the permits, so
	// that one's own users are not asked, and after reject_unauth_destination,
	// so that no class makes a relay.
	Client    string `setting:"smtpd_client_restrictions" default:""`
	Helo      string `setting:"smtpd_helo_restrictions" default:""`
	Sender    string `setting:"smtpd_sender_restrictions" default:""`
	Relay     string `setting:"smtpd_relay_restrictions" default:"permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"`
	Recipient string `setting:"smtpd_recipient_restrictions" default:"permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, check_recipient_class"`
	Data      string `setting:"smtpd_data_restrictions" default:""`
	EndOfData string `setting:"smtpd_end_of_data_restrictions" default:""`
	Etrn      string `setting:"smtpd_etrn_restrictions" default:""`

	// Lists of submission, under the names that master.cf(5) suggests.
	MuaClient    string `setting:"mua_client_restrictions" default:"permit_sasl_authenticated, reject"`
	MuaHelo      string `setting:"mua_helo_restrictions" default:""`
	MuaSender    string `setting:"mua_sender_restrictions" default:""`
	MuaRelay     string `setting:"mua_relay_restrictions" default:"permit_sasl_authenticated, reject"`
	MuaRecipient string `setting:"mua_recipient_restrictions" default:""`

	RelayBeforeRecipient bool `setting:"smtpd_relay_before_recipient_restrictions" default:"yes"`
	UnlistedRecipient    bool `setting:"smtpd_reject_unlisted_recipient" default:"yes"`
	UnlistedSender       bool `setting:"smtpd_reject_unlisted_sender" default:"no"`
	ShowTable            bool `setting:"show_user_unknown_table_name" default:"yes"`

	NullKey         string   `setting:"smtpd_null_access_lookup_key" default:"<>"`
	ParentDomains   []string `setting:"parent_domain_matches_subdomains" default:"mynetworks, permit_mx_backup_networks, smtpd_access_maps" values:"mynetworks permit_mx_backup_networks smtpd_access_maps"`
	UntrustedRoute  bool     `setting:"allow_untrusted_routing" default:"no"`
	PercentHack     bool     `setting:"allow_percent_hack" default:"yes"`
	SwapBangPath    bool     `setting:"swap_bangpath" default:"yes"`
	RelayCerts      string   `setting:"relay_clientcerts" default:""`
	CertFingerprint string   `setting:"smtpd_tls_fingerprint_digest" default:"sha256"`

	RBLReply        string   `setting:"default_rbl_reply" default:"$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}"`
	RBLReplyMaps    string   `setting:"rbl_reply_maps" default:""`
	TempFail        string   `setting:"reject_tempfail_action" default:"defer_if_permit"`
	HeloTempFail    string   `setting:"unknown_helo_hostname_tempfail_action" default:"$reject_tempfail_action"`
	AddressTempFail string   `setting:"unknown_address_tempfail_action" default:"$reject_tempfail_action"`
	ProxyInterfaces []string `setting:"proxy_interfaces" default:""`
	BackupNetworks  []string `setting:"permit_mx_backup_networks" default:""`

	// DNSServers are asked instead of those of resolv.conf(5): addresses, with
	// :port if it is not 53. Best is a validating resolver of one's own: DNS
	// lists do not answer public ones.
	DNSServers []string `setting:"dns_servers" default:""`
	// DNSTimeLimit bounds all DNS look-ups of one command together. What is
	// asked later counts as not to be had now.
	DNSTimeLimit time.Duration `setting:"policy_dns_time_limit" default:"30s"`

	// Servers that check_policy_service names, unless its braces say otherwise.
	ServiceTimeout  time.Duration `setting:"smtpd_policy_service_timeout" default:"100s"`
	ServiceIdle     time.Duration `setting:"smtpd_policy_service_max_idle" default:"300s"`
	ServiceTTL      time.Duration `setting:"smtpd_policy_service_max_ttl" default:"1000s"`
	ServiceDelay    time.Duration `setting:"smtpd_policy_service_retry_delay" default:"1s"`
	ServiceTries    int           `setting:"smtpd_policy_service_try_limit" default:"2"`
	ServiceRequests int           `setting:"smtpd_policy_service_request_limit" default:"0"`
	ServiceDefault  string        `setting:"smtpd_policy_service_default_action" default:"451 4.3.5 Server configuration problem"`
	ServiceContext  string        `setting:"smtpd_policy_service_policy_context" default:""`

	// Address verification, ADDRESS_VERIFICATION_README.
	VerifyPolls     int           `setting:"address_verify_poll_count" default:"3" min:"1"`
	VerifyDelay     time.Duration `setting:"address_verify_poll_delay" default:"3s"`
	VerifyPending   int           `setting:"address_verify_pending_request_limit" default:"500" min:"1"`
	VerifyCleanup   time.Duration `setting:"address_verify_cache_cleanup_interval" default:"12h"`
	NegativeCache   bool          `setting:"address_verify_negative_cache" default:"yes"`
	NegativeExpire  time.Duration `setting:"address_verify_negative_expire_time" default:"3d"`
	NegativeRefresh time.Duration `setting:"address_verify_negative_refresh_time" default:"3h"`
	PositiveExpire  time.Duration `setting:"address_verify_positive_expire_time" default:"31d"`
	PositiveRefresh time.Duration `setting:"address_verify_positive_refresh_time" default:"7d"`

	SenderTempFail         string `setting:"unverified_sender_tempfail_action" default:"$reject_tempfail_action"`
	RecipientTempFail      string `setting:"unverified_recipient_tempfail_action" default:"$reject_tempfail_action"`
	UnverifiedSenderCode   int    `setting:"unverified_sender_reject_code" default:"450" min:"400" max:"599"`
	UnverifiedRcptCode     int    `setting:"unverified_recipient_reject_code" default:"450" min:"400" max:"599"`
	UnverifiedSenderDefer  int    `setting:"unverified_sender_defer_code" default:"450" min:"400" max:"499"`
	UnverifiedRcptDefer    int    `setting:"unverified_recipient_defer_code" default:"450" min:"400" max:"499"`
	UnverifiedSenderReason string `setting:"unverified_sender_reject_reason" default:""`
	UnverifiedRcptReason   string `setting:"unverified_recipient_reject_reason" default:""`

	// check_greylist: a first try of a client network, sender and recipient
	// waits GreyDelay; it must come again within GreyWindow. What is known is
	// forgotten after GreyAge without mail. A client that has come back GreyAuto
	// times passes at once; 0: none does.
	GreyDelay  time.Duration `setting:"greylist_delay" default:"300s"`
	GreyWindow time.Duration `setting:"greylist_retry_window" default:"2d"`
	GreyAge    time.Duration `setting:"greylist_max_age" default:"35d"`
	GreyAuto   int           `setting:"greylist_auto_clients" default:"5" min:"0"`
	GreyText   string        `setting:"greylist_text" default:"Greylisted, try again later"`
	GreyBits4  int           `setting:"greylist_ipv4_prefix" default:"24" min:"1" max:"32"`
	GreyBits6  int           `setting:"greylist_ipv6_prefix" default:"64" min:"1" max:"128"`
	GreyMost   int           `setting:"greylist_cache_limit" default:"100000" min:"100"`

	// What one user may send; 0: without limit. Rows of SendLimit come first.
	UserMessages int `setting:"smtpd_user_message_hourly_limit" default:"0" min:"0"`
	UserHour     int `setting:"smtpd_user_recipient_hourly_limit" default:"500" min:"0"`
	UserDay      int `setting:"smtpd_user_recipient_daily_limit" default:"2000" min:"0"`

	// SenderLogins says who owns a sender: SenderOwner (rows), address (who
	// gets the mail of an address, by mailbox, alias or catch-all). The first
	// that knows an owner counts.
	SenderLogins []string `setting:"smtpd_sender_login_maps" default:"SenderOwner, address" values:"SenderOwner address"`

	// AuthResults says when Received-SPF and Authentication-Results are added:
	// asked (a restriction has made the checks), always (they are made for it),
	// never.
	AuthResults string `setting:"authentication_results" default:"asked"`
	AuthservID  string `setting:"authserv_id" default:"$myhostname"`

	// TrustedSealers are the domains whose ARC seals are believed: mail that
	// fails DMARC passes if they say it did not when they got it.
	TrustedSealers []string `setting:"arc_trusted_sealers" default:""`
	// KeepDMARC counts messages for aggregate reports.
	KeepDMARC bool `setting:"dmarc_aggregate_data" default:"yes"`

	// TraceSteps: which commands "mailserver trace" has each step of the evaluation of.
	TraceSteps string `setting:"trace_steps" default:"no" values:"refused all no"`

	// ReasonHeader adds to mail of strangers why it was taken.
	ReasonHeader bool `setting:"reason_header" default:"yes"`

	RejectCode         int `setting:"reject_code" default:"554" min:"400" max:"599"`
	DeferCode          int `setting:"defer_code" default:"450" min:"400" max:"599"`
	AccessRejectCode   int `setting:"access_map_reject_code" default:"554" min:"400" max:"599"`
	AccessDeferCode    int `setting:"access_map_defer_code" default:"450" min:"400" max:"599"`
	RelayCode          int `setting:"relay_domains_reject_code" default:"554" min:"400" max:"599"`
	InvalidNameCode    int `setting:"invalid_hostname_reject_code" default:"501" min:"400" max:"599"`
	NonFQDNCode        int `setting:"non_fqdn_reject_code" default:"504" min:"400" max:"599"`
	UnknownClientCode  int `setting:"unknown_client_reject_code" default:"450" min:"400" max:"599"`
	UnknownHostCode    int `setting:"unknown_hostname_reject_code" default:"450" min:"400" max:"599"`
	UnknownAddressCode int `setting:"unknown_address_reject_code" default:"450" min:"400" max:"599"`
	RBLCode            int `setting:"maps_rbl_reject_code" default:"554" min:"400" max:"599"`
	PlaintextCode      int `setting:"plaintext_reject_code" default:"450" min:"400" max:"599"`
	MultiBounceCode    int `setting:"multi_recipient_bounce_reject_code" default:"550" min:"400" max:"599"`
	UnknownLocalCode   int `setting:"unknown_local_recipient_reject_code" default:"550" min:"400" max:"599"`
	UnknownRelayCode   int `setting:"unknown_relay_recipient_reject_code" default:"550" min:"400" max:"599"`
	UnknownAliasCode   int `setting:"unknown_virtual_alias_reject_code" default:"550" min:"400" max:"599"`
	UnknownMailboxCode int `setting:"unknown_virtual_mailbox_reject_code" default:"550" min:"400" max:"599"`
}

// Lists of LMTP. Its peer is another mail server that has judged already; here
// only what has a mailbox is taken.
const lmtpRelay = "reject_unauth_destination"

// lists are the texts that hold for one role.
type lists struct {
	client, helo, sender, relay, recipient, data, endOfData, etrn string
}

func (c *Config) lists(r Role) lists {
	switch r {
	case Submission:
		return lists{c.MuaClient, c.MuaHelo, c.MuaSender, c.MuaRelay, c.MuaRecipient, c.Data, c.EndOfData, c.Etrn}
	case LMTP:
		return lists{relay: lmtpRelay}
	}
	return lists{c.Client, c.Helo, c.Sender, c.Relay, c.Recipient, c.Data, c.EndOfData, c.Etrn}
}
