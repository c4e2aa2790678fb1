package pop3

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"mailserver/internal/message"
)

// identifier appends what a message is called: as another server has called it,
// as its header does, if that is wanted, or by the format.
func (u *uidls) identifier(ctx context.Context, line []byte, i int, k known) ([]byte, error) {
	if id := u.ids.Of(k.uid); id != "" {
		return append(line, id...), nil
	}
	if u.s.cfg.ReuseXUIDL {
		id, err := u.s.drop.xuidl(ctx, i)
		if err != nil || id != "" {
			return append(line, id...), err
		}
	}
	return u.format.append(line, k), nil
}

// xuidl is the field X-UIDL of a message, "" if there is none that UIDL could
// tell: RFC 1939 §7 has up to 70 printable bytes.
func (d *maildrop) xuidl(ctx context.Context, i int) (id string, err error) {
	body, err := d.message(ctx, i)
	if errors.Is(err, errExpunged) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	f, _ := body.File()
	err = message.ReadHeader(io.NewSectionReader(f, 0, 1<<62), func(f message.Field) bool {
		if strings.EqualFold(f.Name, "X-UIDL") {
			id = f.Value
			return false
		}
		return true
	})
	odd := func(r rune) bool { return r < '!' || r > '~' }
	if len(id) > maxUIDL || strings.ContainsFunc(id, odd) {
		id = ""
	}
	return id, err
}

// rename makes the identifier that begins at n one of its own, as Dovecot does
// by pop3_uidl_duplicates.
func (u *uidls) rename(line []byte, n int) []byte {
	if u.times == nil {
		return line
	}
	for u.times[string(line[n:])] > 0 {
		id := string(line[n:])
		u.times[id]++
		line = strconv.AppendInt(append(line, '-'), int64(u.times[id]), 10)
	}
	u.times[string(line[n:])] = 1
	return line
}

// one tells the identifier of one message; to know whether it is a duplicate, all
// before it are gone through.
func (u *uidls) one(ctx context.Context, i int) error {
	if u.times != nil {
		u.silent = true
		for from := 0; from < i; from += stepUIDL {
			if err := u.write(ctx, from, min(from+stepUIDL, i), ""); err != nil {
				return err
			}
		}
		u.silent = false
	}
	return u.write(ctx, i, i+1, "+OK ")
}
