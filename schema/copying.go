package schema

import "context"

// Copying is a copy of several messages that is not finished, or was not when
// its process ended.
type Copying struct {
	Num                int64
	Dir, Prefix, Owner string
}

// AddCopying records a copy before its first file is there, and gives its number.
func (t *Tx) AddCopying(c *Copying) error {
	return t.queryRow(`INSERT INTO Copying (cpDir, cpPrefix, cpOwner) VALUES (?, ?, ?) RETURNING cpNum`,
		c.Dir, c.Prefix, c.Owner).Scan(&c.Num)
}

// EndCopying forgets a copy: all of it is there, or nothing.
func (t *Tx) EndCopying(num int64) error { return t.exec(`DELETE FROM Copying WHERE cpNum = ?`, num) }

// Copyings returns all copies that are not finished.
func (s *State) Copyings(ctx context.Context) ([]Copying, error) {
	rows, err := s.query(ctx, `SELECT cpNum, cpDir, cpPrefix, cpOwner FROM Copying`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Copying
	for rows.Next() {
		var c Copying
		if err := rows.Scan(&c.Num, &c.Dir, &c.Prefix, &c.Owner); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}
