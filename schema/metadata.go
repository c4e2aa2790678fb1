package schema

import "context"

// Annotations calls fn for the annotations of a mailbox (0: of the account) whose
// names are the given one or, with below, begin with it and a slash. value is
// valid until fn returns.
func (s *State) Annotations(ctx context.Context, account, mailbox int64, name string, below bool, fn func(name string, value []byte)) error {
	last := name
	if below {
		last = name + "0" // follows the slash
	}
	rows, err := s.query(ctx, `SELECT anName, anValue FROM Annotation WHERE anAccNum = ? AND anMbNum = ? AND anName BETWEEN ? AND ?`,
		account, mailbox, name, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n string
		var v []byte
		if err := rows.Scan(&n, &v); err != nil {
			return err
		}
		if n == name || below && len(n) > len(name) && n[len(name)] == '/' {
			fn(n, v)
		}
	}
	return rows.Err()
}

// SetAnnotation writes one; nil removes it. count is how many there are then.
func (t *Tx) SetAnnotation(account, mailbox int64, name string, value []byte) (count int, err error) {
	if value == nil {
		err = t.exec(`DELETE FROM Annotation WHERE anAccNum = ? AND anMbNum = ? AND anName = ?`, account, mailbox, name)
	} else {
		err = t.exec(`INSERT OR REPLACE INTO Annotation VALUES (?, ?, ?, ?)`, account, mailbox, name, value)
	}
	if err != nil {
		return 0, err
	}
	err = t.queryRow(`SELECT count(*) FROM Annotation WHERE anAccNum = ? AND anMbNum = ?`, account, mailbox).Scan(&count)
	return count, err
}
