package storage

import "context"

// Draft is a message being written into an account. Used by one goroutine; it
// ends with Deliver, Append or Abort. Abort after those does nothing.
type Draft struct{}

// NewDraft opens a file in tmp/ of the mailbox. INBOX is made, with missing
// parents of its directory, if there is none; any other mailbox must exist:
// ErrNoMailbox. size is what the sender announced, 0 if it did not: ErrOverQuota
// comes at once when that is too much already.
func (a *Account) NewDraft(ctx context.Context, mailbox string, size int64) (*Draft, error) {
	panic("not yet")
}

// Write adds to the message; lines end with CRLF. ErrNoSpace, ErrOverQuota.
func (d *Draft) Write(p []byte) (int, error) { panic("not yet") }

// Size is the number of bytes written.
func (d *Draft) Size() int64 { panic("not yet") }

// Deliver puts the message in place, durably, as new mail: fsync, rename, fsync
// of the directory. It does not wait for the index. On an error nothing is
// left; ErrOverQuota, ErrNoSpace, ErrNoMailbox.
func (d *Draft) Deliver(ctx context.Context) error { panic("not yet") }

// Link makes a draft of the same bytes in another mailbox of the same owner
// and file system, without writing them again; nothing may be written after.
// ErrNoLink says that a copy is needed. d goes on and is delivered as before or
// after.
func (d *Draft) Link(ctx context.Context, to *Account, mailbox string) (*Draft, error) {
	panic("not yet")
}

// Abort removes the file.
func (d *Draft) Abort() { panic("not yet") }
