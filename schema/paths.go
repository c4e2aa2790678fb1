package schema

import "context"

// PathTexts returns what rows, without the settings, say that may name files outside the data
// directory, as it stands there.
func (m *Mail) PathTexts(ctx context.Context) ([]string, error) {
	list, err := m.strings(ctx, `SELECT lsAddress FROM Listener WHERE lsAddress LIKE '%/%'
		UNION SELECT ctCertFile FROM Cert WHERE ctCertFile LIKE '/%' UNION SELECT ctKeyFile FROM Cert WHERE ctKeyFile LIKE '/%'
		UNION SELECT aliasTarget FROM Alias WHERE aliasTarget LIKE '%/%'
		UNION SELECT vmHome FROM VMailbox WHERE vmHome LIKE '/%'
		UNION SELECT smFile FROM SqlMap WHERE smFile LIKE '/%'
		UNION SELECT ppArgv || ' ' || ifnull(ppDirectory, '') FROM Pipe
		UNION SELECT tpTransport || ':' || ifnull(tpNexthop, '') FROM Transport WHERE tpTransport LIKE '%/%' OR tpNexthop LIKE '%/%'`)
	return list, wrap("read paths", err)
}
