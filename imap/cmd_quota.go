package imap

import (
	"context"
	"strings"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
)

// quotaRoot is the name of the one quota root, as Dovecot's examples have it.
const quotaRoot = "User quota"

func parseQuotaRoot(_ *session, d *imapwire.Decoder) string { return d.AString() }

// runGetQuota: RFC 9208 §4.1.1.
func runGetQuota(ctx context.Context, s *session, root string) (reply, error) {
	if root != quotaRoot {
		return reply{}, errNoRoot
	}
	return reply{}, s.tellQuota(ctx)
}

// Both answers are Dovecot's. Limits are rows of mail.sqlite.
var (
	errNoRoot     = &no{"NONEXISTENT", "Quota root doesn't exist."}
	errQuotaAdmin = &no{"NOPERM", "Quota can be changed only by admin"}
)

// tellQuota: storage is told in units of 1024 octets, RFC 9208 §5.1.
func (s *session) tellQuota(ctx context.Context) error {
	q, err := s.account.Quota(ctx)
	if err != nil {
		return err
	}
	s.enc.Raw("* QUOTA ").String(quotaRoot).Raw(" (")
	if q.Limit > 0 {
		s.enc.Raw("STORAGE ").Number(uint64(q.Bytes+1023) / 1024).Raw(" ").Number(uint64(q.Limit) / 1024)
	}
	if q.MaxMessages > 0 {
		if q.Limit > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Raw("MESSAGE ").Number(uint64(q.Messages)).Raw(" ").Number(uint64(q.MaxMessages))
	}
	s.enc.Raw(")\r\n")
	return nil
}

// runGetQuotaRoot: RFC 9208 §4.1.2. The mailbox need not exist.
func runGetQuotaRoot(ctx context.Context, s *session, name string) (reply, error) {
	if p, err := s.find(ctx, name); err != nil || p.foreign {
		return s.quotaOfOther(ctx, name)
	}
	s.enc.Raw("* QUOTAROOT ").Mailbox(s.wireName(name)).Raw(" ").String(quotaRoot).CRLF()
	return reply{}, s.tellQuota(ctx)
}

type setQuota struct{ root string }

func parseSetQuota(_ *session, d *imapwire.Decoder) setQuota {
	a := setQuota{d.AString()}
	d.SP()
	d.List(func() {
		d.Keyword()
		d.SP()
		d.Number63()
	})
	return a
}

// runSetQuota: limits are the operator's.
func runSetQuota(context.Context, *session, setQuota) (reply, error) { return reply{}, errQuotaAdmin }

// quotaOfOther answers as Dovecot does, but for what may not be seen.
func (s *session) quotaOfOther(ctx context.Context, name string) (reply, error) {
	p, err := s.at(ctx, name, acl.Read)
	switch {
	case err != nil:
		return reply{}, naming(err, s.wireName(name))
	case p.account.Public():
		return reply{text: "No quota"}, nil
	case !strings.EqualFold(p.account.User(), s.user):
		return reply{}, &no{"NOPERM", "Not showing other users' quota."}
	}
	s.enc.Raw("* QUOTAROOT ").Mailbox(s.wireName(name)).Raw(" ").String(quotaRoot).CRLF()
	return reply{}, s.tellQuota(ctx)
}
