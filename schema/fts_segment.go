package schema

import (
	"database/sql"

	"mailserver/internal/textindex"
)

// segmentBits is room for the keys of internal/textindex.
const segmentBits = 25

func segmentKey(segment int64, low uint32) int64 { return segment<<segmentBits | int64(low) }

const segmentEnd = 1<<segmentBits - 1

// Segments returns all, in the order of documents.
func (t *TextTx) Segments() (list []textindex.Segment, err error) {
	rows, err := t.query(`SELECT sgNum, sgFirst, sgLast, sgDocs FROM Segment ORDER BY sgFirst`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s textindex.Segment
		if err := scanRow(rows, &s.Num, &s.First, &s.Last, &s.Docs); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// Gram implements textindex.Source.
func (t *TextTx) Gram(segment int64, gram uint32, fn func(*textindex.Block) (bool, error)) error {
	from := segmentKey(segment, 0)
	if _, err := t.scan(`SELECT grKey FROM Gram WHERE grKey BETWEEN ? AND ? ORDER BY grKey DESC LIMIT 1`,
		[]any{from, segmentKey(segment, gram)}, &from); err != nil {
		return err
	}
	return t.eachGram(segment, from, fn)
}

func (t *TextTx) eachGram(segment, from int64, fn func(*textindex.Block) (bool, error)) error {
	rows, err := t.query(`SELECT grKey, grData FROM Gram WHERE grKey BETWEEN ? AND ?`, from, segmentKey(segment, segmentEnd))
	if err != nil {
		return err
	}
	defer rows.Close()
	var data sql.RawBytes
	for rows.Next() {
		var key int64
		if err := scanRow(rows, &key, &data); err != nil {
			return err
		}
		more, err := fn(&textindex.Block{Key: uint32(key & segmentEnd), Data: data})
		if err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// Lists implements textindex.Source.
func (t *TextTx) Lists(segment int64, fn func(*textindex.Block) error) error {
	rows, err := t.query(`SELECT wdKey, wdList FROM Word WHERE wdKey BETWEEN ? AND ?`,
		segmentKey(segment, 0), segmentKey(segment, segmentEnd))
	if err != nil {
		return err
	}
	defer rows.Close()
	var list sql.RawBytes
	for rows.Next() {
		var key int64
		if err := scanRow(rows, &key, &list); err != nil {
			return err
		}
		if err := fn(&textindex.Block{Key: uint32(key & segmentEnd), List: list}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Words implements textindex.Source.
func (t *TextTx) Words(segment int64, key uint32, fn func(*textindex.Block) error) error {
	b := textindex.Block{Key: key}
	found, err := t.scan(`SELECT wdList, wdData FROM Word WHERE wdKey = ?`, []any{segmentKey(segment, key)}, &b.List, &b.Data)
	if err == nil && !found {
		err = textindex.ErrDamaged
	}
	if err != nil {
		return err
	}
	return fn(&b)
}

// AddSegment writes a segment that write makes, in place of others that it was
// made of.
func (t *TextTx) AddSegment(of []textindex.Segment, write func(emit func(*textindex.Block) error) (textindex.Segment, error)) error {
	var num int64
	if _, err := t.scan(`INSERT INTO Segment (sgFirst, sgLast, sgDocs) VALUES (?, 0, 0) RETURNING sgNum`, []any{-1}, &num); err != nil {
		return err
	}
	s, err := write(func(b *textindex.Block) error {
		if b.List == nil {
			return t.exec(`INSERT INTO Gram VALUES (?, ?)`, segmentKey(num, b.Key), b.Data)
		}
		return t.exec(`INSERT INTO Word VALUES (?, ?, ?)`, segmentKey(num, b.Key), b.List, b.Data)
	})
	if err != nil {
		return err
	}
	for i := range of {
		if err := t.DropSegment(&of[i]); err != nil {
			return err
		}
	}
	if s.Docs == 0 {
		return t.DropSegment(&textindex.Segment{Num: num})
	}
	return t.exec(`UPDATE Segment SET sgFirst = ?, sgLast = ?, sgDocs = ? WHERE sgNum = ?`, s.First, s.Last, s.Docs, num)
}

// DropSegment removes a segment; its documents are not known any more.
func (t *TextTx) DropSegment(s *textindex.Segment) error {
	first, last := segmentKey(s.Num, 0), segmentKey(s.Num, segmentEnd)
	if err := t.exec(`DELETE FROM Gram WHERE grKey BETWEEN ? AND ?`, first, last); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM Word WHERE wdKey BETWEEN ? AND ?`, first, last); err != nil {
		return err
	}
	return t.exec(`DELETE FROM Segment WHERE sgNum = ?`, s.Num)
}

// Cursors walk through the blocks of a segment, those of grams and those of
// words, until Close.
func (t *TextTx) Cursors(s *textindex.Segment) (grams, words *TextCursor, err error) {
	first, last := segmentKey(s.Num, 0), segmentKey(s.Num, segmentEnd)
	g, err := t.conn.QueryContext(t.ctx, `SELECT grKey, NULL, grData FROM Gram WHERE grKey BETWEEN ? AND ?`, first, last)
	if err != nil {
		return nil, nil, err
	}
	w, err := t.conn.QueryContext(t.ctx, `SELECT wdKey, wdList, wdData FROM Word WHERE wdKey BETWEEN ? AND ?`, first, last)
	if err != nil {
		g.Close()
		return nil, nil, err
	}
	return &TextCursor{rows: g}, &TextCursor{rows: w}, nil
}

// TextCursor implements textindex.Cursor.
type TextCursor struct {
	rows       *sql.Rows
	list, data sql.RawBytes
	block      textindex.Block
}

// Next implements textindex.Cursor.
func (c *TextCursor) Next() (*textindex.Block, error) {
	if !c.rows.Next() {
		return nil, c.rows.Err()
	}
	var key int64
	if err := scanRow(c.rows, &key, &c.list, &c.data); err != nil {
		return nil, err
	}
	c.block = textindex.Block{Key: uint32(key & segmentEnd), List: c.list, Data: c.data}
	return &c.block, nil
}

// Close ends the walk.
func (c *TextCursor) Close() error { return c.rows.Close() }
