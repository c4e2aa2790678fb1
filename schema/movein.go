package schema

import (
	"fmt"
	"strings"
)

// What a whole configuration of another mail server brings: rows are written
// over what is there under the same name, so that it can be brought again.

func (t *Tx) put(what, query string, args ...any) error {
	return wrap(what, mapError(t.exec(query, args...)))
}

// PutRestriction writes the list of a restriction class. Its text goes.
func (t *Tx) PutRestriction(name, list string) error {
	return t.put("class "+name, `INSERT INTO Restriction (rsName, rsList) VALUES (?1, ?2)
		ON CONFLICT (rsName) DO UPDATE SET rsList = ?2, rsText = NULL`, name, list)
}

// PutClassNumber gives a number a name, unless it has one; ErrExists if that is
// another.
func (t *Tx) PutClassNumber(num int, name string) error {
	what := fmt.Sprintf("class number %d", num)
	n, err := t.number(what, `SELECT count(*) FROM RClass WHERE rcNum = ?1 AND rcName = ?2`, num, name)
	if err != nil || n > 0 {
		return err
	}
	return t.NumberClass(num, name)
}

// ClearAccess removes the rows of an access table.
func (t *Tx) ClearAccess(table string) error {
	return t.put("access table "+table, `DELETE FROM Access WHERE acTable = ?`, table)
}

// AddAccess adds a row to an access table; ErrExists if its key is there. kind
// is hash, cidr or regexp; rows of the last two are asked in the order of
// priority.
func (t *Tx) AddAccess(table, kind, key, action string, priority int) error {
	_, err := t.insert("access table "+table, `INSERT INTO Access (acTable, acType, acKey, acAction, acPriority) VALUES (?, ?, ?, ?, ?)`,
		table, kind, key, action, priority)
	return err
}

// ClearContentChecks removes the rows of a map of ContentCheck.
func (t *Tx) ClearContentChecks(table string) error {
	return t.put(table+" checks", `DELETE FROM ContentCheck WHERE ckMap = ?`, table)
}

// AddContentCheck adds a row to header_checks(5) or its kin.
func (t *Tx) AddContentCheck(table, pattern, action string, priority int) error {
	return t.put(table+" checks", `INSERT INTO ContentCheck (ckMap, ckPriority, ckPattern, ckAction) VALUES (?, ?, ?, ?)`,
		table, priority, pattern, action)
}

// PutCanonical writes a row of canonical(5); table is canonical,
// sender_canonical, recipient_canonical or generic.
func (t *Tx) PutCanonical(table, address, target string) error {
	return t.put("canonical", `INSERT INTO Canonical (cnMap, cnAddress, cnTarget) VALUES (?1, ?2, ?3)
		ON CONFLICT (cnMap, cnAddress) DO UPDATE SET cnTarget = ?3, active = 1`, table, address, target)
}

// PutBcc writes a row of sender_bcc_maps (table sender) or recipient_bcc_maps.
func (t *Tx) PutBcc(table, address, target string) error {
	return t.put("bcc", `INSERT INTO Bcc (bcMap, bcAddress, bcTarget) VALUES (?1, ?2, ?3)
		ON CONFLICT (bcMap, bcAddress) DO UPDATE SET bcTarget = ?3, active = 1`, table, address, target)
}

// PutRelocated writes a row of relocated(5).
func (t *Tx) PutRelocated(address, target string) error {
	return t.put("relocated", `INSERT INTO Relocated (rlAddress, rlTarget) VALUES (?1, ?2)
		ON CONFLICT (rlAddress) DO UPDATE SET rlTarget = ?2, active = 1`, address, target)
}

// RemoveRelocated removes a row of relocated(5).
func (t *Tx) RemoveRelocated(address string) error {
	return t.change("relocated "+address, `DELETE FROM Relocated WHERE rlAddress = ?`, address)
}

// PutPatternAlias writes a row of PatternAlias; local is a pattern of LIKE,
// targets are addresses by comma. Low priorities are asked first.
func (t *Tx) PutPatternAlias(local, domain, targets string, priority int) error {
	num, err := t.domainNum(domain, true)
	if err != nil {
		return err
	}
	return t.put("pattern "+local+"@"+domain, `INSERT INTO PatternAlias (paDomNum, paPattern, paPriority, paTarget) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (paDomNum, paPattern) DO UPDATE SET paPriority = ?3, paTarget = ?4, active = 1`, num, local, priority, targets)
}

// PutSenderOwner lets a log-in send as an address.
func (t *Tx) PutSenderOwner(address, login string) error {
	return t.put("sender owner", `INSERT INTO SenderOwner (soAddress, soLogin) VALUES (?1, ?2)
		ON CONFLICT (soAddress, soLogin) DO UPDATE SET active = 1`, address, login)
}

// PutRelayHost writes the next hop (transport ”), or the transport, of a sender.
func (t *Tx) PutRelayHost(sender, nexthop, transport string) error {
	return t.put("relay host", `INSERT INTO RelayHost (rhSender, rhNexthop, rhTransport) VALUES (?1, ?2, nullif(?3, ''))
		ON CONFLICT (rhSender) DO UPDATE SET active = 1,
		  rhNexthop = CASE WHEN ?3 = '' THEN ?2 ELSE rhNexthop END, rhTransport = CASE WHEN ?3 = '' THEN rhTransport ELSE ?3 END`,
		sender, nexthop, transport)
}

// PutSaslPassword writes the credentials for a next hop, a host or a sender.
func (t *Tx) PutSaslPassword(key, user, passwd string) error {
	return t.put("SASL password of "+key, `INSERT INTO SaslPassword (spKey, spUser, spPasswd) VALUES (?1, ?2, ?3)
		ON CONFLICT (spKey) DO UPDATE SET spUser = ?2, spPasswd = ?3, active = 1`, key, user, passwd)
}

// PutTLSPolicy writes a row of smtp_tls_policy_maps.
func (t *Tx) PutTLSPolicy(nexthop, policy string) error {
	return t.put("TLS policy", `INSERT INTO TlsPolicy (tsNexthop, tsPolicy) VALUES (?1, ?2)
		ON CONFLICT (tsNexthop) DO UPDATE SET tsPolicy = ?2, active = 1`, nexthop, policy)
}

// PutPipe writes a transport that is a program.
func (t *Tx) PutPipe(p Pipe) error {
	return t.put("pipe "+p.Name, `INSERT INTO Pipe (ppName, ppArgv, ppUser, ppFlags, ppDirectory, ppEol, ppNullSender, ppSize, ppMaxProc, ppRecipients)
		VALUES (?1, ?2, ?3, ?4, nullif(?5, ''), ?6, ?7, nullif(?8, 0), nullif(?9, 0), nullif(?10, 0))
		ON CONFLICT (ppName) DO UPDATE SET ppArgv = ?2, ppUser = ?3, ppFlags = ?4, ppDirectory = nullif(?5, ''), ppEol = ?6, ppNullSender = ?7,
		  ppSize = nullif(?8, 0), ppMaxProc = nullif(?9, 0), ppRecipients = nullif(?10, 0), active = 1`,
		p.Name, p.Argv, p.User, p.Flags, p.Directory, p.EOL, p.NullSender, p.Size, p.MaxProc, p.Recipients)
}

// PutSQLMap writes a row of SqlMap; query is the text of the operator.
func (t *Tx) PutSQLMap(m SQLMap, query string) error {
	return t.put("SQL map "+m.Name, `INSERT INTO SqlMap (smName, smFile, smQuery, smResultFormat, smDomain, smExpansionLimit)
		VALUES (?1, nullif(?2, ''), ?3, ?4, nullif(?5, ''), ?6)
		ON CONFLICT (smName) DO UPDATE SET smFile = nullif(?2, ''), smQuery = ?3, smResultFormat = ?4, smDomain = nullif(?5, ''), smExpansionLimit = ?6`,
		m.Name, m.File, query, m.Format, strings.Join(m.Domains, ","), m.Limit)
}

// PutListener writes a listener, over the one that has its address or, if that
// is :port, its port on any.
func (t *Tx) PutListener(l Listener) error {
	if _, port, ok := strings.Cut(l.Address, ":"); ok && strings.HasPrefix(l.Address, ":") {
		if err := t.put("listener", `DELETE FROM Listener WHERE lsAddress LIKE '%:' || ? AND lsAddress NOT LIKE 'unix:%' AND lsAddress <> ?`, port, l.Address); err != nil {
			return err
		}
	}
	return t.put("listener "+l.Address, `INSERT INTO Listener (lsProtocol, lsAddress, lsTls, lsHostname, lsTag, lsAuth, lsProxy)
		VALUES (?1, ?2, ?3, nullif(?4, ''), nullif(?5, ''), ?6, ?7)
		ON CONFLICT (lsAddress) DO UPDATE SET lsProtocol = ?1, lsTls = ?3, lsHostname = nullif(?4, ''), lsTag = nullif(?5, ''), lsAuth = ?6, lsProxy = ?7, active = 1`,
		l.Protocol, l.Address, l.TLS, l.Hostname, l.Tag, l.Auth, l.Proxy)
}

// PutCert writes the certificate of a host.
func (t *Tx) PutCert(c Cert) error {
	return t.put("certificate of "+c.Hostname, `INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES (?1, ?2, ?3)
		ON CONFLICT (ctHostname) DO UPDATE SET ctCertFile = ?2, ctKeyFile = ?3, active = 1`, c.Hostname, c.CertFile, c.KeyFile)
}

// PutDomain makes a domain what is said, whether it is there or not. An
// external one does not change the class of one that is there.
func (t *Tx) PutDomain(name string, class Class) error {
	n, err := t.number("domain "+name, `SELECT count(*) FROM Domain WHERE domName = ?`, name)
	switch {
	case err != nil:
		return err
	case n == 0:
		_, err := t.AddDomain(name, class, DomainChange{})
		return err
	case class == External:
		return nil
	}
	return t.SetDomain(name, DomainChange{Class: To(class), Active: To(true)})
}
