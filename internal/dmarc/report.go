package dmarc

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Facts are what a report says of a message, beside its client and the domain
// of the policy. They are kept as JSON.
type Facts struct {
	From        string      `json:"from"`          // author domain
	Envelope    string      `json:"env,omitempty"` // domain of MAIL FROM; '' the null sender
	Disposition string      `json:"did"`           // none, pass, quarantine, reject
	DKIM        bool        `json:"dkim,omitempty"`
	SPF         bool        `json:"spf,omitempty"`
	Reason      string      `json:"why,omitempty"` // local_policy
	Comment     string      `json:"say,omitempty"`
	Signatures  [][3]string `json:"sigs,omitempty"` // domain, selector, result
	SPFDomain   string      `json:"spfd,omitempty"`
	SPFResult   string      `json:"spfr,omitempty"`
	Helo        bool        `json:"helo,omitempty"` // SPF was asked about the HELO name
}

// Report is the head of an aggregate report, RFC 9990 §3.1.
type Report struct {
	Org, Email string // who reports
	ID         string
	Begin, End time.Time
	Domain     string // where the record was found
	Record     Record
	Generator  string
}

// Line is a number of messages that are alike.
type Line struct {
	Addr  string
	Count int
	Facts string // JSON of Facts
}

// FileName is the name of the attachment, RFC 9990 §4.
func (r *Report) FileName() string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.xml", r.Org, r.Domain, r.Begin.Unix(), r.End.Unix(), r.ID)
}

// Write writes the report. each calls its function with every line. Facts that
// cannot be read are left out.
func (r *Report) Write(w io.Writer, each func(func(Line) error) error) error {
	if _, err := io.WriteString(w, xml.Header+`<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">`+"\n"); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("  ", "  ")
	for _, part := range []any{element[string]{xml.Name{Local: "version"}, "1.0"}, r.metadata(), r.published()} {
		if err := enc.Encode(part); err != nil {
			return err
		}
	}
	err := each(func(l Line) error {
		var f Facts
		if json.Unmarshal([]byte(l.Facts), &f) != nil {
			return nil
		}
		return enc.Encode(recordOf(l, &f))
	})
	if err == nil {
		_, err = io.WriteString(w, "\n</feedback>\n")
	}
	return err
}

type element[T any] struct {
	XMLName xml.Name
	Value   T `xml:",chardata"`
}

type metadata struct {
	XMLName   xml.Name `xml:"report_metadata"`
	Org       string   `xml:"org_name"`
	Email     string   `xml:"email"`
	ID        string   `xml:"report_id"`
	Begin     int64    `xml:"date_range>begin"`
	End       int64    `xml:"date_range>end"`
	Generator string   `xml:"generator,omitempty"`
}

func (r *Report) metadata() metadata {
	return metadata{Org: r.Org, Email: r.Email, ID: r.ID, Begin: r.Begin.Unix(), End: r.End.Unix(), Generator: r.Generator}
}

type published struct {
	XMLName   xml.Name `xml:"policy_published"`
	Domain    string   `xml:"domain"`
	Policy    Policy   `xml:"p"`
	Subdomain Policy   `xml:"sp"`
	Missing   Policy   `xml:"np"`
	DKIM      string   `xml:"adkim"`
	SPF       string   `xml:"aspf"`
	Testing   string   `xml:"testing"`
	Method    string   `xml:"discovery_method"`
}

// published gives tags that the record has not the value that holds for them.
func (r *Report) published() published {
	p := published{Domain: r.Domain, Policy: r.Record.Policy, Subdomain: r.Record.Subdomain, Missing: r.Record.NonExistent,
		DKIM: "r", SPF: "r", Testing: "n", Method: "treewalk"}
	if p.Subdomain == "" {
		p.Subdomain = p.Policy
	}
	if p.Missing == "" {
		p.Missing = p.Subdomain
	}
	if r.Record.StrictDKIM {
		p.DKIM = "s"
	}
	if r.Record.StrictSPF {
		p.SPF = "s"
	}
	if r.Record.Testing {
		p.Testing = "y"
	}
	return p
}

type reason struct {
	Type    string `xml:"type"`
	Comment string `xml:"comment,omitempty"`
}

type authDKIM struct {
	Domain   string `xml:"domain"`
	Selector string `xml:"selector"`
	Result   string `xml:"result"`
}

type authSPF struct {
	Domain string `xml:"domain"`
	Scope  string `xml:"scope"`
	Result string `xml:"result"`
}

type row struct {
	XMLName     xml.Name   `xml:"record"`
	Addr        string     `xml:"row>source_ip"`
	Count       int        `xml:"row>count"`
	Disposition string     `xml:"row>policy_evaluated>disposition"`
	DKIM        string     `xml:"row>policy_evaluated>dkim"`
	SPF         string     `xml:"row>policy_evaluated>spf"`
	Reason      *reason    `xml:"row>policy_evaluated>reason"`
	Envelope    string     `xml:"identifiers>envelope_from"`
	From        string     `xml:"identifiers>header_from"`
	Signatures  []authDKIM `xml:"auth_results>dkim"`
	AuthSPF     authSPF    `xml:"auth_results>spf"`
}

func recordOf(l Line, f *Facts) row {
	word := map[bool]string{true: "pass", false: "fail"}
	r := row{Addr: l.Addr, Count: l.Count, Disposition: f.Disposition, DKIM: word[f.DKIM], SPF: word[f.SPF], Envelope: f.Envelope, From: f.From,
		AuthSPF: authSPF{f.SPFDomain, "mfrom", f.SPFResult}}
	if f.Helo {
		r.AuthSPF.Scope = "helo"
	}
	if f.SPFResult == "" {
		r.AuthSPF = authSPF{f.Envelope, "mfrom", "none"}
	}
	if f.Reason != "" {
		r.Reason = &reason{f.Reason, f.Comment}
	}
	for _, s := range f.Signatures {
		r.Signatures = append(r.Signatures, authDKIM{s[0], s[1], s[2]})
	}
	return r
}

// mostReceivers bounds to whom a report is sent.
const mostReceivers = 5

// Receivers are the mail addresses of rua, in their order. A limit of size
// behind an address is left out: reports are far below what people write.
func (r *Record) Receivers() []string {
	var list []string
	for uri := range strings.SplitSeq(r.Reports, ",") {
		uri = strings.TrimSpace(uri)
		if len(uri) < 8 || !strings.EqualFold(uri[:7], "mailto:") || len(list) == mostReceivers {
			continue
		}
		addr, _, _ := strings.Cut(uri[7:], "!")
		if strings.Count(addr, "@") == 1 && !strings.ContainsAny(addr, " \t<>()\"\\,;%?") {
			list = append(list, addr)
		}
	}
	return list
}

// Agrees reports whether a receiver elsewhere wants reports about a domain:
// RFC 9990 §5. One below the same domain, or above it, needs not be asked.
func Agrees(lookup func(name string) ([]string, error), domain, receiver string) (bool, error) {
	domain, receiver = strings.ToLower(domain), strings.ToLower(receiver[strings.LastIndexByte(receiver, '@')+1:])
	if domain == receiver || strings.HasSuffix(receiver, "."+domain) || strings.HasSuffix(domain, "."+receiver) {
		return true, nil
	}
	texts, err := lookup(domain + "._report._dmarc." + receiver)
	for _, text := range texts {
		if name, value := cut(strings.Split(text, ";")[0]); strings.EqualFold(name, "v") && value == "DMARC1" {
			return true, nil
		}
	}
	return false, err
}
