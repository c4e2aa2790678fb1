package delivery

import (
	"github.com/emersion/go-smtp"

	"mailserver/internal/address"
	"mailserver/policy"
)

// Envelope is a message's addresses and what the session learned about it.
type Envelope struct {
	From    address.Address // null for <>
	To      []Recipient
	Options smtp.MailOptions // BODY, SIZE, SMTPUTF8, REQUIRETLS, RET, ENVID
	User    string           // who logged in, '' nobody
	Client  policy.Client
	Helo    string
	// Submitted says that a program on this host has handed it in: sendmail(1).
	Submitted bool
	Proto     string // ESMTP, ESMTPSA, LMTP ...
	// Effects are what policy asked for before the message's text came.
	Effects policy.Effects
	// LocalOnly is LMTP: every recipient gets its own outcome, and mail for a
	// mailbox here is never queued.
	LocalOnly bool
}

// Recipient is one accepted RCPT.
type Recipient struct {
	Address address.Address  // qualified
	Options smtp.RcptOptions // NOTIFY, ORCPT
	// Original is the recipient that a forwarded message came for; null: Address.
	Original address.Address
}

// Outcome is what became of one recipient at Commit.
type Outcome struct {
	Recipient address.Address
	Code      int    // 250, or what to answer
	Enhanced  string // "2.1.5"
	Text      string // without code; never holds a secret
}

// OK reports whether the recipient, or message, was taken.
func (o Outcome) OK() bool { return o.Code < 300 }
