package schema

import (
	"context"
	"time"
)

// TLSResult is a row of TlsResult.
type TLSResult struct {
	Day, Domain, Policy, Text, MXHosts, Failure, Host, Address, Own, Reason string
	Count                                                                   int64
}

// TLSResultAdd adds to the row of a result.
func (t *Tx) TLSResultAdd(r *TLSResult) error {
	return wrap("count TLS", t.exec(`INSERT INTO TlsResult (trDay, trDomain, trPolicy, trText, trMxHost, trResult, trHost, trAddress, trOwn, trReason, trCount)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET trCount = trCount + excluded.trCount`,
		r.Day, r.Domain, r.Policy, r.Text, r.MXHosts, r.Failure, r.Host, r.Address, r.Own, r.Reason, r.Count))
}

// TLSResultsForget deletes what was counted before a day.
func (t *Tx) TLSResultsForget(day string) error {
	if err := t.exec(`DELETE FROM TlsResult WHERE trDay < ?`, day); err != nil {
		return wrap("forget TLS results", err)
	}
	return wrap("forget TLS reports", t.exec(`DELETE FROM TlsReport WHERE tpDay < ?`, day))
}

// TLSReportSent records that a report has gone.
func (t *Tx) TLSReportSent(day, domain, to string, at time.Time) error {
	return wrap("record TLS report", t.exec(`INSERT OR REPLACE INTO TlsReport (tpDay, tpDomain, tpSent, tpTo) VALUES (?,?,?,?)`, day, domain, at.Unix(), to))
}

// TLSResults returns the results of a day, of one domain or, with ”, all,
// those of a domain together.
func (s *State) TLSResults(ctx context.Context, day, domain string) ([]TLSResult, error) {
	rows, err := s.query(ctx, `SELECT trDay, trDomain, trPolicy, trText, trMxHost, trResult, trHost, trAddress, trOwn, trReason, trCount
		FROM TlsResult WHERE trDay = ?1 AND (?2 = '' OR trDomain = ?2) ORDER BY trDomain`, day, domain)
	if err != nil {
		return nil, wrap("read TLS results", err)
	}
	defer rows.Close()
	var list []TLSResult
	for rows.Next() {
		var r TLSResult
		if err := rows.Scan(&r.Day, &r.Domain, &r.Policy, &r.Text, &r.MXHosts, &r.Failure, &r.Host, &r.Address, &r.Own, &r.Reason, &r.Count); err != nil {
			return nil, wrap("read TLS results", err)
		}
		list = append(list, r)
	}
	return list, wrap("read TLS results", rows.Err())
}

// TLSReported reports whether the report on a domain and day has gone.
func (s *State) TLSReported(ctx context.Context, day, domain string) (bool, error) {
	row, err := s.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM TlsReport WHERE tpDay = ? AND tpDomain = ?)`, day, domain)
	if err != nil {
		return false, wrap("read TLS reports", err)
	}
	var n int
	err = row.Scan(&n)
	return n != 0, wrap("read TLS reports", err)
}
