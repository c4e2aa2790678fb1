package schema

import (
	"encoding/binary"
	"hash/crc32"

	"mailserver/internal/textindex"
)

// A row of Place is, for each message in the order of UIDs: the distance of its
// UID from that of the one before as uvarint, less one; and the distance of its
// document as varint, less one. The first are from the UID of the key less one and
// from document 0. A document of 0 is none: the message is not in the index.

// TextPlace is a message, and the document that it is.
type TextPlace struct{ UID, Doc uint32 }

// placesPerRow bounds a row of Place.
const placesPerRow = 1000

// TextMailbox is what the index knows of a mailbox.
type TextMailbox struct {
	Num      int64
	Validity uint32
	Next     uint32 // UIDs below were looked at; at least 1
	Count    int64  // of messages in places
}

// Mailbox returns what is known of a mailbox; with another UIDVALIDITY, nothing.
func (t *TextTx) Mailbox(num int64, validity uint32) (m TextMailbox, err error) {
	found, err := t.scan(`SELECT mbValidity, mbNext, mbCount FROM Mailbox WHERE mbNum = ?`, []any{num}, &m.Validity, &m.Next, &m.Count)
	if err != nil {
		return m, err
	}
	if !found || m.Validity != validity {
		m = TextMailbox{Validity: validity, Next: 1}
	}
	m.Num = num
	return m, nil
}

// Mailboxes returns all.
func (t *TextTx) Mailboxes() (list []TextMailbox, err error) {
	rows, err := t.query(`SELECT mbNum, mbValidity, mbNext, mbCount FROM Mailbox`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m TextMailbox
		if err := scanRow(rows, &m.Num, &m.Validity, &m.Next, &m.Count); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// SetMailbox writes a mailbox. One that had another UIDVALIDITY has no places.
func (t *TextTx) SetMailbox(m *TextMailbox) error {
	return t.exec(`INSERT OR REPLACE INTO Mailbox VALUES (?, ?, ?, ?)`, m.Num, m.Validity, m.Next, m.Count)
}

// DropMailbox forgets a mailbox.
func (t *TextTx) DropMailbox(num int64) error {
	if err := t.dropPlaces(num); err != nil {
		return err
	}
	return t.exec(`DELETE FROM Mailbox WHERE mbNum = ?`, num)
}

func (t *TextTx) dropPlaces(num int64) error {
	return t.exec(`DELETE FROM Place WHERE plKey BETWEEN ? AND ?`, messageKey(num, 0), messageKey(num, 1<<32-1))
}

// EachPlace calls fn for the messages of a mailbox, in the order of UIDs.
func (t *TextTx) EachPlace(num int64, fn func(TextPlace) error) error {
	rows, err := t.query(`SELECT plKey, plData FROM Place WHERE plKey BETWEEN ? AND ?`, messageKey(num, 0), messageKey(num, 1<<32-1))
	if err != nil {
		return err
	}
	defer rows.Close()
	var data []byte
	for rows.Next() {
		var key int64
		if err := scanRow(rows, &key, &data); err != nil {
			return err
		}
		if err := eachPlace(key, data, fn); err != nil {
			return err
		}
	}
	return rows.Err()
}

func placeSum(key int64, data []byte) uint32 {
	sum := crc32.Update(0, castagnoli, binary.LittleEndian.AppendUint64(nil, uint64(key)))
	return crc32.Update(sum, castagnoli, data)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func eachPlace(key int64, data []byte, fn func(TextPlace) error) error {
	end := len(data) - crc32.Size
	if end < 0 || placeSum(key, data[:end]) != binary.LittleEndian.Uint32(data[end:]) {
		return textindex.ErrDamaged
	}
	data = data[:end]
	p := TextPlace{UID: keyUID(key) - 1}
	for len(data) > 0 {
		uid, n := binary.Uvarint(data)
		if n <= 0 {
			return textindex.ErrDamaged
		}
		doc, m := binary.Varint(data[n:])
		if m <= 0 {
			return textindex.ErrDamaged
		}
		data = data[n+m:]
		p = TextPlace{p.UID + uint32(uid) + 1, uint32(int64(p.Doc) + doc + 1)}
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// AddPlaces adds messages of higher UIDs than all before.
func (t *TextTx) AddPlaces(num int64, list []TextPlace) error {
	var key int64
	var data []byte
	found, err := t.scan(`SELECT plKey, plData FROM Place WHERE plKey BETWEEN ? AND ? ORDER BY plKey DESC LIMIT 1`,
		[]any{messageKey(num, 0), messageKey(num, 1<<32-1)}, &key, &data)
	if err != nil {
		return err
	}
	if found { // the last row may have room
		var row []TextPlace
		if err := eachPlace(key, data, func(p TextPlace) error { row = append(row, p); return nil }); err != nil {
			return err
		}
		if len(row) < placesPerRow {
			list = append(row, list...)
		}
	}
	for len(list) > 0 {
		n := min(len(list), placesPerRow)
		key := messageKey(num, list[0].UID)
		err := t.exec(`INSERT OR REPLACE INTO Place VALUES (?, ?)`, key, encodePlaces(key, list[:n]))
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func encodePlaces(key int64, list []TextPlace) (data []byte) {
	p := TextPlace{UID: list[0].UID - 1}
	for _, next := range list {
		data = binary.AppendUvarint(data, uint64(next.UID-p.UID-1))
		data = binary.AppendVarint(data, int64(next.Doc)-int64(p.Doc)-1)
		p = next
	}
	return binary.LittleEndian.AppendUint32(data, placeSum(key, data))
}

// KeepPlaces rewrites the messages of a mailbox.
func (t *TextTx) KeepPlaces(num int64, list []TextPlace) error {
	if err := t.dropPlaces(num); err != nil {
		return err
	}
	return t.AddPlaces(num, list)
}

// NextDoc is a number that no document has, and none had since the last was added.
func (t *TextTx) NextDoc() (next uint32, err error) {
	_, err = t.scan(`SELECT max(ifnull((SELECT max(docNum) FROM Doc), 0), ifnull((SELECT max(sgLast) FROM Segment), 0)) + 1`, nil, &next)
	return next, err
}

// DocOf returns the document of a message by its EMAILID; 0 for none. The row must
// say what its index says.
func (t *TextTx) DocOf(email int64) (doc uint32, err error) {
	found, err := t.scan(`SELECT docNum FROM Doc WHERE docEmail = ?`, []any{email}, &doc)
	if err != nil || !found {
		return 0, err
	}
	var same int64
	if found, err = t.scan(`SELECT docEmail FROM Doc WHERE docNum = ?`, []any{doc}, &same); err == nil && (!found || same != email) {
		err = textindex.ErrDamaged
	}
	return doc, err
}

// AddDoc names a document.
func (t *TextTx) AddDoc(doc uint32, email int64) error {
	return t.exec(`INSERT INTO Doc VALUES (?, ?)`, doc, email)
}

// Docs counts documents.
func (t *TextTx) Docs() (n int64, err error) {
	_, err = t.scan(`SELECT count(*) FROM Doc`, nil, &n)
	return n, err
}

// DropDocs forgets the documents of a range for which gone is true.
func (t *TextTx) DropDocs(first, last uint32, gone func(doc uint32) bool) error {
	for doc := first; ; doc++ {
		if gone(doc) {
			if err := t.exec(`DELETE FROM Doc WHERE docNum = ?`, doc); err != nil {
				return err
			}
		}
		if doc == last {
			return nil
		}
	}
}
