package config

// TLSReport is what reports on TLS say of us, RFC 8460.
type TLSReport struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	// Enable counts sessions with mail exchangers, for "tlsrpt send".
	Enable bool `setting:"smtp_tlsrpt_enable" default:"no"`
	// Organization and Contact stand in the reports; Contact sends them.
	Organization string `setting:"tlsrpt_organization" default:"$myhostname"`
	Contact      string `setting:"tlsrpt_contact" default:"postmaster@$myhostname"`
}
