package storage

import (
	"context"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Facts are what the index knows of a message beyond Msg.
type Facts struct {
	Saved   int64  // when it was put into this mailbox, Unix time: RFC 8514
	EmailID string // RFC 8474 §5.1: stays through Copy and Move
}

// Facts reads them. Who asks for one message after the other gets many at once
// from the index. ErrExpunged.
func (v *View) Facts(ctx context.Context, uid imap.UID) (Facts, error) {
	row, err := v.row(ctx, uint32(uid))
	if err != nil {
		return Facts{}, err
	}
	return Facts{Saved: row.Saved, EmailID: emailName(&row)}, nil
}

// emailName is the EMAILID of a row: that of the first copy, which is known by
// the name of its file.
func emailName(row *schema.IndexMessage) string {
	num := row.Email
	if num == 0 {
		num = emailID(row.Name)
	}
	return "M" + strconv.FormatUint(uint64(num), 36)
}
