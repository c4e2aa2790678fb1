package schema

import (
	"context"
	"time"
)

// Bounds of what is kept for DMARC reports.
const (
	dmarcKept = 14      // days
	dmarcMost = 100_000 // lines
)

// Day is the number of a day, in UTC.
func Day(t time.Time) int64 { return t.Unix() / 86400 }

// DmarcLine is one line of a report of a day.
type DmarcLine struct {
	Day    int64
	Domain string // where the record was found
	Record string // its text
	Addr   string // of the client
	Facts  string // JSON: results and domains
	Count  int
}

// AddDmarc counts a message. What is old, or too much for a day, is dropped.
func (t *Tx) AddDmarc(l DmarcLine) error {
	err := t.exec(`INSERT INTO DmarcDomain (ddDay, ddDomain, ddRecord) VALUES (?1, ?2, ?3)
		ON CONFLICT (ddDay, ddDomain) DO UPDATE SET ddRecord = ?3 WHERE ddRecord <> ?3`, l.Day, l.Domain, l.Record)
	if err == nil {
		err = t.exec(`INSERT INTO DmarcCount (dcDay, dcDomain, dcAddr, dcFacts, dcCount) VALUES (?1, ?2, ?3, ?4, 1)
			ON CONFLICT (dcDay, dcDomain, dcAddr, dcFacts) DO UPDATE SET dcCount = dcCount + 1`, l.Day, l.Domain, l.Addr, l.Facts)
	}
	if err == nil {
		err = t.exec(`DELETE FROM DmarcDomain WHERE ddDay <= ?`, l.Day-dmarcKept)
	}
	if err == nil {
		err = t.exec(`DELETE FROM DmarcCount WHERE dcDay <= ?`, l.Day-dmarcKept)
	}
	if err == nil {
		err = t.exec(`DELETE FROM DmarcCount WHERE (dcDay, dcDomain, dcAddr, dcFacts) IN
			(SELECT dcDay, dcDomain, dcAddr, dcFacts FROM DmarcCount ORDER BY dcDay
			 LIMIT iif(abs(random()) % 256 = 0, max(0, (SELECT count(*) FROM DmarcCount) - ?), 0))`, dmarcMost)
	}
	return wrap("count message for a DMARC report", err)
}

// DmarcDomain is a domain with its counts of a day.
type DmarcDomain struct {
	Day      int64
	Domain   string
	Record   string
	Sent     time.Time // zero: no report was sent
	Messages int
}

// DmarcDomains returns the domains of a day by name; day below 0 is all days.
func (s *State) DmarcDomains(ctx context.Context, day int64) ([]DmarcDomain, error) {
	rows, err := s.query(ctx, `SELECT ddDay, ddDomain, ddRecord, ddSent, ifnull(sum(dcCount), 0) FROM DmarcDomain
		LEFT JOIN DmarcCount ON dcDay = ddDay AND dcDomain = ddDomain WHERE ?1 < 0 OR ddDay = ?1
		GROUP BY ddDay, ddDomain ORDER BY ddDay, ddDomain`, day)
	if err != nil {
		return nil, wrap("list DMARC domains", err)
	}
	defer rows.Close()
	var list []DmarcDomain
	for rows.Next() {
		var d DmarcDomain
		var sent int64
		if err := rows.Scan(&d.Day, &d.Domain, &d.Record, &sent, &d.Messages); err != nil {
			return nil, wrap("list DMARC domains", err)
		}
		if sent > 0 {
			d.Sent = time.Unix(sent, 0)
		}
		list = append(list, d)
	}
	return list, wrap("list DMARC domains", rows.Err())
}

// EachDmarc calls each with the lines of a domain and day.
func (s *State) EachDmarc(ctx context.Context, day int64, domain string, each func(DmarcLine) error) error {
	rows, err := s.query(ctx, `SELECT dcAddr, dcFacts, dcCount FROM DmarcCount WHERE dcDay = ? AND dcDomain = ? ORDER BY dcAddr, dcFacts`, day, domain)
	if err != nil {
		return wrap("read DMARC lines", err)
	}
	defer rows.Close()
	for rows.Next() {
		l := DmarcLine{Day: day, Domain: domain}
		if err := rows.Scan(&l.Addr, &l.Facts, &l.Count); err != nil {
			return wrap("read DMARC lines", err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
	return wrap("read DMARC lines", rows.Err())
}

// DmarcSent records that the report of a day about a domain is on its way.
func (t *Tx) DmarcSent(day int64, domain string, now time.Time) error {
	return wrap("record DMARC report", t.exec(`UPDATE DmarcDomain SET ddSent = ? WHERE ddDay = ? AND ddDomain = ?`, now.Unix(), day, domain))
}
