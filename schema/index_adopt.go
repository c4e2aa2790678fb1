package schema

import "fmt"

// AdoptMailbox makes a mailbox that another server has had: from Account, Name,
// Dir, Inode, Special, Validity, UIDNext, ModSeq, Floor, Cur and New. It fills
// in Num. Another mailbox of the name is an error.
func (t *Tx) AdoptMailbox(m *IndexMailbox) error {
	if err := t.exec(`UPDATE Account SET accValidity = max(accValidity, ?) WHERE accNum = ?`, m.Validity, m.Account); err != nil {
		return fmt.Errorf("note a UIDVALIDITY: %w", err)
	}
	m.Gen = 0
	return t.queryRow(`INSERT INTO Mailbox (mbAccNum, mbName, mbDir, mbInode, mbValidity, mbUidNext, mbModSeq, mbFloor,
		mbCurTime, mbNewTime, mbSpecial) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING mbNum`,
		m.Account, m.Name, m.Dir, m.Inode, m.Validity, m.UIDNext, m.ModSeq, m.Floor, m.Cur, m.New, nullText(m.Special)).Scan(&m.Num)
}
