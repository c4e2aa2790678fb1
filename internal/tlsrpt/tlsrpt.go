// Package tlsrpt counts how TLS with other hosts went, and writes the reports
// of it: RFC 8460.
package tlsrpt

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Result is how one session went, RFC 8460 §4.2 to §4.4.
type Result struct {
	Day      string // UTC, 2026-11-21
	Domain   string // policy domain
	Policy   string // tlsa, sts, no-policy-found
	Text     string // the policy, a line each
	MXHosts  string // mx patterns of an STS policy, by comma
	Failure  string // '' it went well; else a result type
	Host     string // of a failure: the mail exchanger
	Address  string // its address
	Own      string // our address
	Reason   string
	Sessions int64 // of a row: how many
}

// Counter adds up results. Safe for concurrent use.
type Counter struct {
	mu   sync.Mutex // guards rows
	rows map[Result]int64
}

// mostRows bounds the different results that are kept; more are not counted.
const mostRows = 10000

// Add counts one session.
func (c *Counter) Add(r Result) {
	r.Sessions = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = make(map[Result]int64)
	}
	if _, ok := c.rows[r]; ok || len(c.rows) < mostRows {
		c.rows[r]++
	}
}

// Take returns what was counted since the last call.
func (c *Counter) Take() []Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Result, 0, len(c.rows))
	for r, n := range c.rows {
		r.Sessions = n
		list = append(list, r)
	}
	c.rows = nil
	return list
}

// Report is the report on one domain and day.
type Report struct {
	Organization string    `json:"organization-name"`
	Range        DateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	ID           string    `json:"report-id"`
	Policies     []Policy  `json:"policies"`
}

// DateRange is one day, UTC.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Policy is one policy that was applied, and what came of it.
type Policy struct {
	Policy  PolicyInfo `json:"policy"`
	Summary struct {
		Good int64 `json:"total-successful-session-count"`
		Bad  int64 `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// PolicyInfo says a policy.
type PolicyInfo struct {
	Type   string   `json:"policy-type"`
	Text   []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	MX     []string `json:"mx-host,omitempty"`
}

// Failure is one kind of failure.
type Failure struct {
	Type     string `json:"result-type"`
	Own      string `json:"sending-mta-ip,omitempty"`
	Host     string `json:"receiving-mx-hostname,omitempty"`
	Address  string `json:"receiving-ip,omitempty"`
	Sessions int64  `json:"failed-session-count"`
	Reason   string `json:"failure-reason-code,omitempty"`
}

// New makes the report on a domain from its rows of a day.
func New(organization, contact, host string, rows []Result) (*Report, error) {
	if len(rows) == 0 {
		return nil, fmt.Errorf("no sessions")
	}
	day, err := time.Parse(time.DateOnly, rows[0].Day)
	if err != nil {
		return nil, err
	}
	r := &Report{Organization: organization, Contact: contact, ID: day.Format(time.RFC3339) + "_" + rows[0].Domain + "@" + host,
		Range: DateRange{day, day.Add(24*time.Hour - time.Second)}}
	slices.SortFunc(rows, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Text, b.Text), cmp.Compare(a.MXHosts, b.MXHosts),
			cmp.Compare(a.Failure, b.Failure), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Reason, b.Reason))
	})
	for i, row := range rows {
		if i == 0 || row.Policy != rows[i-1].Policy || row.Text != rows[i-1].Text || row.MXHosts != rows[i-1].MXHosts {
			r.Policies = append(r.Policies, Policy{Policy: PolicyInfo{Type: row.Policy, Text: lines(row.Text, "\n"), Domain: row.Domain, MX: lines(row.MXHosts, ",")}})
		}
		p := &r.Policies[len(r.Policies)-1]
		if row.Failure == "" {
			p.Summary.Good += row.Sessions
			continue
		}
		p.Summary.Bad += row.Sessions
		p.Failures = append(p.Failures, Failure{row.Failure, row.Own, row.Host, row.Address, row.Sessions, row.Reason})
	}
	return r, nil
}

func lines(s, sep string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, sep)
}

// Domain is whom the report is for.
func (r *Report) Domain() string { return r.Policies[0].Policy.Domain }

// Packed is the report as JSON, in gzip.
func (r *Report) Packed() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(text)
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// Mail is the report as a message, with CRLF line ends. RFC 8460 §5.3
func (r *Report) Mail(from, to, host string, now time.Time) ([]byte, error) {
	packed, err := r.Packed()
	if err != nil {
		return nil, err
	}
	domain := r.Domain()
	name := fmt.Sprintf("%s!%s!%d!%d.json.gz", host, domain, r.Range.Start.Unix(), r.Range.End.Unix())
	boundary := fmt.Sprintf("tlsrpt.%d.%s", now.UnixNano(), host)
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nDate: %s\r\n", from, to, now.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	fmt.Fprintf(&b, "Subject: Report Domain: %s Submitter: %s Report-ID: <%s>\r\n", domain, host, r.ID)
	fmt.Fprintf(&b, "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\nMIME-Version: 1.0\r\n", domain, host)
	fmt.Fprintf(&b, "Auto-Submitted: auto-generated\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is a report on TLS sessions with the mail exchangers of %s.\r\n\r\n", boundary, domain)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\tfilename=\"%s\"\r\n\r\n", boundary, name)
	encoded := base64.StdEncoding.EncodeToString(packed)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	fmt.Fprintf(&b, "%s\r\n--%s--\r\n", encoded, boundary)
	return b.Bytes(), nil
}

// Addresses are where a domain wants its reports: the rua of its one record at
// _smtp._tls. RFC 8460 §3
func Addresses(txt []string) (list []string) {
	n := 0
	for _, rec := range txt {
		fields := strings.Split(rec, ";")
		if strings.TrimSpace(fields[0]) != "v=TLSRPTv1" {
			continue
		}
		n++
		for _, f := range fields[1:] {
			if v, ok := strings.CutPrefix(strings.TrimSpace(f), "rua="); ok {
				for uri := range strings.SplitSeq(v, ",") {
					list = append(list, strings.TrimSpace(uri))
				}
			}
		}
	}
	if n != 1 {
		return nil
	}
	return list
}
