package policy

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/maillog"
	"mailserver/internal/policyd"
)

// service is a policy server as check_policy_service names it: an address, or
// {address, name=value ...} with settings of its own.
type service struct {
	text     string // the address as written
	server   policyd.Server
	own      map[string]bool // which of server's fields the braces have set
	fallback string          // default_action; '' that of the setting
	context  string
}

// serviceOptions are the names within braces, postconf(5)
// check_policy_service.
var serviceOptions = map[string]func(s *service, value string) error{
	"timeout":        func(s *service, v string) (err error) { s.server.Timeout, err = seconds(v); return err },
	"max_idle":       func(s *service, v string) (err error) { s.server.Idle, err = seconds(v); return err },
	"max_ttl":        func(s *service, v string) (err error) { s.server.TTL, err = seconds(v); return err },
	"retry_delay":    func(s *service, v string) (err error) { s.server.Delay, err = seconds(v); return err },
	"try_limit":      func(s *service, v string) (err error) { s.server.Tries, err = strconv.Atoi(v); return err },
	"request_limit":  func(s *service, v string) (err error) { s.server.Requests, err = strconv.Atoi(v); return err },
	"default_action": func(s *service, v string) error { s.fallback = v; return nil },
	"policy_context": func(s *service, v string) error { s.context = v; return nil },
}

// seconds reads a time of postconf(5); a bare number is seconds.
func seconds(text string) (time.Duration, error) {
	if isDigits(text) {
		text += "s"
	}
	if n, ok := strings.CutSuffix(text, "d"); ok && isDigits(n) {
		days, _ := strconv.Atoi(n)
		text = fmt.Sprint(24*days, "h")
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not a time", text)
	}
	return d, err
}

// parseService reads the argument of check_policy_service.
func parseService(word string) (*service, error) {
	inner, braced := unbrace(word)
	s := &service{text: inner, own: make(map[string]bool)}
	if braced {
		words, err := tokens(spacedEquals(inner))
		if err != nil || len(words) == 0 {
			return nil, fmt.Errorf("%q names no server", word)
		}
		s.text = words[0]
		for _, w := range words[1:] {
			if err := s.option(w); err != nil {
				return nil, err
			}
		}
	}
	var err error
	s.server.Network, s.server.Address, err = policyd.Parse(s.text)
	return s, err
}

// spacedEquals makes "name = value" one word.
func spacedEquals(s string) string {
	for _, old := range []string{" =", "= ", "\t=", "=\t"} {
		for strings.Contains(s, old) {
			s = strings.ReplaceAll(s, old, "=")
		}
	}
	return s
}

func (s *service) option(word string) error {
	word, _ = unbrace(word)
	name, value, ok := strings.Cut(word, "=")
	set := serviceOptions[strings.TrimSpace(name)]
	if !ok || set == nil {
		return fmt.Errorf("check_policy_service %s: no option %q here", s.text, word)
	}
	value, _ = unbrace(strings.TrimSpace(value))
	if err := set(s, value); err != nil {
		return fmt.Errorf("check_policy_service %s: %s: %w", s.text, name, err)
	}
	s.own[strings.TrimSpace(name)] = true
	return nil
}

// with fills in what the braces leave to the settings.
func (s *service) with(c *Config) policyd.Server {
	r := s.server
	for _, d := range []struct {
		name string
		to   *time.Duration
		from time.Duration
	}{
		{"timeout", &r.Timeout, c.ServiceTimeout}, {"max_idle", &r.Idle, c.ServiceIdle},
		{"max_ttl", &r.TTL, c.ServiceTTL}, {"retry_delay", &r.Delay, c.ServiceDelay},
	} {
		if !s.own[d.name] {
			*d.to = d.from
		}
	}
	if !s.own["try_limit"] {
		r.Tries = c.ServiceTries
	}
	if !s.own["request_limit"] {
		r.Requests = c.ServiceRequests
	}
	return r
}

// runPolicyService asks a server and does what it says, as a row of an access
// table would be done.
func runPolicyService(x *query, it *item) outcome {
	action, err := x.s.e.services.Ask(x.ctx, it.service.with(x.cfg), x.attributes(it.service))
	if err != nil {
		x.traceLookup(it.service.text, "request", err.Error())
		maillog.Event(x.s.e.d.Log, slog.LevelWarn, maillog.SMTPD, "warning: problem talking to "+err.Error(), "policy server failed",
			slog.Any(maillog.Err, err))
		if action = it.service.fallback; action == "" {
			action = x.cfg.ServiceDefault
		}
	} else {
		x.traceLookup(it.service.text, "request", action)
	}
	return x.act(it, "policy query", action, x.subject, x.class)
}

// attributes are what a policy server is told, in the order of Postfix.
func (x *query) attributes(sv *service) []policyd.Attr {
	s := x.s
	list := []policyd.Attr{
		{Name: "request", Value: "smtpd_access_policy"},
		{Name: "protocol_state", Value: x.where},
		{Name: "protocol_name", Value: s.protocol()},
		{Name: "client_address", Value: s.client.Addr.String()},
		{Name: "client_name", Value: s.client.Name},
		{Name: "client_port", Value: strconv.Itoa(int(s.client.Port))},
		{Name: "reverse_client_name", Value: s.client.ReverseName},
		{Name: "server_address", Value: addrText(s)},
		{Name: "server_port", Value: strconv.Itoa(int(s.client.Local.Port()))},
		{Name: "helo_name", Value: s.helo},
		{Name: "sender", Value: x.senderText()},
		{Name: "recipient", Value: x.recipientText()},
		{Name: "recipient_count", Value: strconv.Itoa(x.recipientCount())},
		{Name: "queue_id", Value: s.content.ID},
		{Name: "instance", Value: s.instanceID()},
		{Name: "size", Value: strconv.FormatInt(s.size, 10)},
		{Name: "etrn_domain", Value: x.etrn},
		{Name: "stress", Value: ""},
		{Name: "sasl_method", Value: s.mech},
		{Name: "sasl_username", Value: s.user},
		{Name: "sasl_sender", Value: ""},
	}
	list = append(list, x.tlsAttributes()...)
	policyContext := x.cfg.ServiceContext
	if sv.own["policy_context"] {
		policyContext = sv.context
	}
	return append(list, policyd.Attr{Name: "policy_context", Value: policyContext})
}

func (s *Session) protocol() string {
	if s.esmtp {
		return "ESMTP"
	}
	return "SMTP"
}

func addrText(s *Session) string {
	if a := s.client.Local.Addr(); a.IsValid() {
		return a.String()
	}
	return ""
}

func (x *query) senderText() string {
	if x.s.sender == nil {
		return ""
	}
	return x.sender()
}

func (x *query) recipientText() string {
	if x.rcpt == nil {
		return ""
	}
	return x.recipient()
}

// recipientCount is only told once it is final.
func (x *query) recipientCount() int {
	if x.where == "DATA" || x.where == "END-OF-MESSAGE" {
		return x.s.accepted
	}
	return 0
}

// instanceID is the same for all questions about one message.
func (s *Session) instanceID() string {
	if s.instance == "" {
		s.instance = strings.ToLower(rand.Text()[:16])
	}
	return s.instance
}

// tlsAttributes are empty in plaintext.
func (x *query) tlsAttributes() []policyd.Attr {
	var subject, issuer, print, keyPrint, protocol, cipher string
	bits := 0
	if cert := x.clientCert(); cert != nil {
		subject, issuer = cert.Subject.CommonName, cert.Issuer.CommonName
		if h, ok := digests[strings.ToLower(x.cfg.CertFingerprint)]; ok {
			print, keyPrint = fingerprint(h, cert.Raw), fingerprint(h, cert.RawSubjectPublicKeyInfo)
		}
	}
	if t := x.s.tls; t != nil {
		protocol = strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1)
		cipher = tls.CipherSuiteName(t.CipherSuite)
		if bits = 128; strings.Contains(cipher, "_256") || strings.Contains(cipher, "CHACHA20") {
			bits = 256
		}
	}
	return []policyd.Attr{
		{Name: "ccert_subject", Value: subject}, {Name: "ccert_issuer", Value: issuer},
		{Name: "ccert_fingerprint", Value: print}, {Name: "ccert_pubkey_fingerprint", Value: keyPrint},
		{Name: "encryption_protocol", Value: protocol}, {Name: "encryption_cipher", Value: cipher},
		{Name: "encryption_keysize", Value: strconv.Itoa(bits)},
	}
}
