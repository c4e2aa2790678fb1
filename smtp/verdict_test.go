package smtp

import (
	"strings"
	"testing"

	"mailserver/policy"
)

// Every Reason with the words that Postfix has for it.
func TestReplyHasPostfixWords(t *testing.T) {
	tests := []struct {
		v    policy.Verdict
		want string
	}{
		{policy.Verdict{Reason: policy.AccessDenied, Code: 554}, "5.7.1 <s>: C rejected: Access denied"},
		{policy.Verdict{Reason: policy.TryAgain, Code: 450}, "4.3.2 <s>: C rejected: Try again later"},
		{policy.Verdict{Reason: policy.RelayDenied, Code: 554}, "5.7.1 <s>: Relay access denied"},
		{policy.Verdict{Reason: policy.RelayDenied, Code: 454}, "4.7.1 <s>: Relay access denied"},
		{policy.Verdict{Reason: policy.UserUnknown, Code: 550, Detail: "local recipient table"}, "5.1.1 <s>: C rejected: User unknown in local recipient table"},
		{policy.Verdict{Reason: policy.UserUnknown, Code: 550, Class: policy.ClassSender}, "5.1.0 <s>: Sender address rejected: User unknown"},
		{policy.Verdict{Reason: policy.UserMoved, Code: 550, Detail: "d"}, "5.1.6 <s>: C rejected: User has moved to d"},
		{policy.Verdict{Reason: policy.ConfigError, Code: 451, Detail: "d"}, "4.3.5 Server configuration error"},
		{policy.Verdict{Reason: policy.LookupFailure, Code: 451}, "4.3.0 <s>: Temporary lookup failure"},
		{policy.Verdict{Reason: policy.ServiceRefused, Code: 450}, "4.7.1 <s>: C rejected: Service unavailable"},
		{policy.Verdict{Reason: policy.DeferIfPermit, Code: 450}, "4.7.0 <s>: C rejected: defer_if_permit requested"},
		{policy.Verdict{Reason: policy.DeferIfReject, Code: 450}, "4.7.0 <s>: C rejected: defer_if_reject requested"},
		{policy.Verdict{Reason: policy.NoHostname, Code: 450, Detail: "192.0.2.1"}, "4.7.25 C rejected: cannot find your hostname, [192.0.2.1]"},
		{policy.Verdict{Reason: policy.NoReverseName, Code: 550, Detail: "192.0.2.1"}, "5.7.1 C rejected: cannot find your reverse hostname, [192.0.2.1]"},
		{policy.Verdict{Reason: policy.InvalidName, Code: 501}, "5.5.2 <s>: C rejected: Invalid name"},
		{policy.Verdict{Reason: policy.InvalidLiteral, Code: 501}, "5.5.2 <s>: C rejected: invalid ip address"},
		{policy.Verdict{Reason: policy.NotFQDNHost, Code: 504}, "5.5.2 <s>: C rejected: need fully-qualified hostname"},
		{policy.Verdict{Reason: policy.NotFQDNAddress, Code: 504}, "5.5.2 <s>: C rejected: need fully-qualified address"},
		{policy.Verdict{Reason: policy.NeedEncryption, Code: 450}, "4.7.1 Session encryption is required"},
		{policy.Verdict{Reason: policy.Pipelining, Code: 503}, "5.5.0 <s>: C rejected: Improper use of SMTP command pipelining"},
		{policy.Verdict{Reason: policy.BounceToMany, Code: 550}, "5.5.3 <s>: C rejected: Multi-recipient bounce"},
		{policy.Verdict{Reason: policy.NotOwned, Code: 553, Detail: "u"}, "5.7.1 <s>: C rejected: not owned by user u"},
		{policy.Verdict{Reason: policy.NotLoggedIn, Code: 553}, "5.7.1 <s>: C rejected: not logged in"},
		{policy.Verdict{Reason: policy.Undeliverable, Code: 550, Text: "t"}, "5.1.1 <s>: C rejected: t"},
		{policy.Verdict{Reason: policy.Undeliverable, Code: 550}, "5.1.1 <s>: C rejected: Address is undeliverable"},
		{policy.Verdict{Reason: policy.HostNotFound, Code: 450}, "4.7.1 <s>: C rejected: Host not found"},
		{policy.Verdict{Reason: policy.DomainNotFound, Code: 450}, "4.1.2 <s>: C rejected: Domain not found"},
		{policy.Verdict{Reason: policy.DomainNotFound, Code: 550, Class: policy.ClassSender}, "5.1.8 <s>: Sender address rejected: Domain not found"},
		{policy.Verdict{Reason: policy.MalformedDNS, Code: 450, Class: policy.ClassSender}, "4.1.8 <s>: Sender address rejected: Malformed DNS server reply"},
		{policy.Verdict{Reason: policy.MalformedDNS, Code: 450, Class: policy.ClassHelo}, "4.7.1 <s>: Helo command rejected: Malformed DNS server reply"},
		{policy.Verdict{Reason: policy.NullMX, Code: 556, Detail: "d.example"}, "5.1.10 <s>: C rejected: Domain d.example does not accept mail (nullMX)"},
		{policy.Verdict{Reason: policy.NullMX, Code: 550, Detail: "d.example", Class: policy.ClassSender}, "5.7.27 <s>: Sender address rejected: Domain d.example does not accept mail (nullMX)"},
		{policy.Verdict{Reason: policy.DNSListed, Code: 554, Detail: "Service unavailable; Client host [192.0.2.1] blocked using l.example"}, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using l.example"},
		{policy.Verdict{Reason: policy.NotAsked, Code: 450}, "4.7.1 <s>: C rejected: Service unavailable"},
		{policy.Verdict{Reason: policy.NoMailExchanger, Code: 450, Detail: "Unable to look up mail exchanger information"}, "4.4.4 <s>: C rejected: Unable to look up mail exchanger information"},
		{policy.Verdict{Reason: policy.PolicyFailure, Code: 451}, "4.3.5 <s>: C rejected: Server configuration problem"},
		{policy.Verdict{Reason: policy.Unverified, Code: 450, Detail: "why"}, "4.1.1 <s>: C rejected: unverified address: why"},
		{policy.Verdict{Reason: policy.UndeliverableTo, Code: 550, Detail: "why", Class: policy.ClassSender}, "5.1.7 <s>: Sender address rejected: undeliverable address: why"},
		{policy.Verdict{Reason: policy.VerifyProblem, Code: 450, Class: policy.ClassSender}, "4.1.7 <s>: Sender address rejected: address verification problem"},
		{policy.Verdict{Reason: policy.SentTooMuch, Code: 450, Detail: "ann: x"}, "4.7.1 Error: too much mail from user ann: x"},
		{policy.Verdict{Reason: policy.Greylisted, Code: 450}, "4.2.0 <s>: C rejected: Greylisted, try again later"},
		{policy.Verdict{Reason: policy.SPFFailed, Code: 550, Detail: "fail: x", Class: policy.ClassSender}, "5.7.23 <s>: Sender address rejected: SPF fail: x"},
		{policy.Verdict{Reason: policy.SPFUnknown, Code: 451, Detail: "x"}, "4.7.24 <s>: C rejected: SPF check: x"},
		{policy.Verdict{Reason: policy.DMARCFailed, Code: 550, Detail: "x", Class: policy.ClassEndOfData}, "5.7.26 <s>: End-of-data rejected: DMARC check: x"},
		{policy.Verdict{Reason: policy.DMARCUnknown, Code: 451, Detail: "x"}, "4.4.3 <s>: C rejected: DMARC check: x"},
	}
	said := make(map[policy.Reason]bool)
	for _, tt := range tests {
		tt.v.Action, tt.v.Subject = policy.Refuse, "s"
		class := tt.v.Class
		if class == "" {
			tt.v.Class = policy.ClassRecipient
		}
		code, enhanced, text := Reply(tt.v)
		want := strings.Replace(tt.want, "C rejected", tt.v.Class+" rejected", 1)
		if got := enhanced + " " + text; got != want || code != tt.v.Code {
			t.Errorf("reason %d:\n got %d %s\nwant %d %s", tt.v.Reason, code, got, tt.v.Code, want)
		}
		said[tt.v.Reason] = true
	}
	for r := policy.None + 1; int(r) < policy.Reasons; r++ {
		if !said[r] {
			t.Errorf("reason %d has no case", r)
		}
	}
}

func TestReplyFitsEnhancedCode(t *testing.T) {
	for _, tt := range []struct{ code, class, want string }{
		{"5.1.1", policy.ClassRecipient, "5.1.1"}, {"5.1.2", policy.ClassSender, "5.1.8"}, {"5.1.8", policy.ClassRecipient, "5.1.2"},
		{"5.1.7", policy.ClassRecipient, "5.1.3"}, {"5.1.3", policy.ClassSender, "5.1.7"}, {"5.1.5", policy.ClassSender, "5.1.0"},
		{"5.1.99", policy.ClassRecipient, "5.1.0"}, {"5.1.1", policy.ClassHelo, "5.0.0"}, {"5.1.1", policy.ClassClient, "5.0.0"},
		{"4.7.1", policy.ClassClient, "5.7.1"}, {"2.7.1", policy.ClassData, "5.7.1"}, {"5.10.1", policy.ClassClient, "5.10.1"},
	} {
		_, got, _ := Reply(policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554, Enhanced: tt.code, Text: "t", Class: tt.class})
		if got != tt.want {
			t.Errorf("%s for %s: %s, want %s", tt.code, tt.class, got, tt.want)
		}
	}
}

func TestReplyIsOneBoundedLine(t *testing.T) {
	v := policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554, Class: policy.ClassSender,
		Subject: "%c%s\r\n@x", Text: "a\tb\x00c\x7f%d" + strings.Repeat("ü", 400)}
	code, enhanced, text := Reply(v)
	if line := 4 + len(enhanced) + 1 + len(text); code != 554 || line > 510 || line < 509 {
		t.Errorf("line of %d bytes", line)
	}
	if !strings.HasPrefix(text, "<%c%s  @x>: Sender address rejected: a b c %dü") || !strings.HasSuffix(text, "ü") {
		t.Errorf("text %q", text)
	}
	if code, _, _ := Reply(policy.Verdict{}); code != 451 {
		t.Errorf("a verdict without reason: %d", code)
	}
	if got := LogText(policy.Verdict{Event: "warn", Text: "x\ny"}); got != "x y" {
		t.Errorf("log text %q", got)
	}
}
