package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailserver/internal/server"
	"mailserver/schema"
	"mailserver/storage"
)

// mailCommands look into mailboxes, and change what is in them.
func mailCommands() []command {
	const queries = "QUERY is keys of SEARCH, and \"mailbox NAME\": mailbox Trash before 1-Jan-2026, unseen from joe."
	return []command{
		{name: "mailbox status", args: "[FOLDER ...]", max: -1, about: "messages, sizes and UIDs of folders", setup: mailStatus},
		{name: "mailbox search", args: "QUERY ...", min: 1, max: -1, about: "folder and UID of messages", more: queries, setup: mailSearch},
		{name: "mailbox fetch", args: "FIELDS QUERY ...", min: 2, max: -1, about: "what is in messages",
			more: "FIELDS, with spaces or commas between: uid mailbox flags date.received size.virtual hdr hdr.NAME body text.\n" + queries, setup: mailFetch},
		{name: "mailbox expunge", args: "QUERY ...", min: 1, max: -1, about: "remove messages for good; a folder must be named", more: queries, setup: mailExpunge},
		{name: "mailbox move", args: "FOLDER QUERY ...", min: 2, max: -1, about: "move messages to a folder of the same user", more: queries, setup: mailMove},
		{name: "mailbox resync", about: "read the tree again, and make the index agree", setup: mailResync},
		{name: "quota show", about: "what users have, and may have", setup: quotaShow},
		{name: "quota recalc", about: "count again what users have", setup: mailResync},
	}
}

// whose are the flags that say whose mail it is about.
type whose struct {
	user string
	all  bool
	json bool
}

func whoseFlags(fs *flag.FlagSet) *whose {
	w := &whose{}
	fs.StringVar(&w.user, "u", "", "`user`: user@domain, or a user of the system")
	fs.BoolVar(&w.all, "A", false, "all users that have a mailbox")
	fs.BoolVar(&w.json, "json", false, "as JSON")
	return w
}

// each calls fn for every user that is meant.
func (w *whose) each(ctx context.Context, a *app, fn func(p *server.Parts, user string) error) error {
	if (w.user == "") == !w.all {
		return usage("say whose mail with -u USER, or -A")
	}
	return a.withParts(ctx, func(p *server.Parts) error {
		if !w.all {
			return fn(p, w.user)
		}
		var users []string
		err := p.Mail.Mailboxes(ctx, "", func(r schema.MailboxRow) error {
			users = append(users, r.Address)
			return nil
		})
		var errs []error
		for _, user := range users {
			if err := fn(p, user); err != nil && !errors.Is(err, errNoUser) {
				errs = append(errs, fmt.Errorf("%s: %w", user, err))
			}
		}
		return errors.Join(append(errs, err)...)
	})
}

func accountOf(ctx context.Context, p *server.Parts, user string) (*storage.Account, error) {
	account, err := p.Account(ctx, user)
	if err == nil && account == nil {
		err = fmt.Errorf("%s: %w", user, errNoUser)
	}
	return account, err
}

// folderStatus is a line of "mailbox status", and of "mailbox list -u".
type folderStatus struct {
	User string `json:"user"`
	Name string `json:"mailbox"`
	storage.Status
}

func mailStatus(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		q := &query{boxes: args}
		t := a.table(w.json, "USER", "FOLDER", "MESSAGES", "UNSEEN", "RECENT", "SIZE", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ")
		return t.end(w.each(ctx, a, func(p *server.Parts, user string) error {
			return eachFolder(ctx, p, user, q, func(name string, st storage.Status) error {
				return t.row(folderStatus{user, name, st}, user, name, st.Messages, st.Unseen, st.Recent, st.Size, st.UIDNext, st.UIDValidity, st.HighestModSeq)
			})
		}))
	}
}

func eachFolder(ctx context.Context, p *server.Parts, user string, q *query, fn func(name string, st storage.Status) error) error {
	account, err := accountOf(ctx, p, user)
	if err != nil {
		return err
	}
	list, err := account.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Exists || !q.wants(m.Name) {
			continue
		}
		st, err := account.Status(ctx, m.Name)
		if err == nil {
			err = fn(m.Name, st)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// folders is "mailbox list" of a user's folders.
func (w *whose) folders(ctx context.Context, a *app) error {
	t := a.table(w.json, "USER", "FOLDER", "SUBSCRIBED", "USE")
	return t.end(w.each(ctx, a, func(p *server.Parts, user string) error {
		account, err := accountOf(ctx, p, user)
		if err != nil {
			return err
		}
		list, err := account.List(ctx)
		for _, m := range list {
			if m.Exists {
				if err := t.row(map[string]any{"user": user, "mailbox": m.Name, "subscribed": m.Subscribed, "special_use": m.Attrs},
					user, m.Name, yesNo(m.Subscribed), strings.Trim(fmt.Sprint(m.Attrs), "[]")); err != nil {
					return err
				}
			}
		}
		return err
	}))
}

func mailSearch(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		q, err := parseQuery(args)
		if err != nil {
			return err
		}
		t := a.table(w.json, "USER", "FOLDER", "UID")
		return t.end(w.each(ctx, a, func(p *server.Parts, user string) error {
			return q.each(ctx, p, user, func(_ *storage.Account, box string, uids []goimap.UID) error {
				for _, uid := range uids {
					if err := t.row(map[string]any{"user": user, "mailbox": box, "uid": uid}, user, box, uid); err != nil {
						return err
					}
				}
				return nil
			})
		}))
	}
}

func mailExpunge(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		q, err := parseQuery(args)
		if err != nil {
			return err
		}
		if len(q.boxes) == 0 {
			return usage("say from which folder: mailbox NAME")
		}
		n := 0
		err = w.each(ctx, a, func(p *server.Parts, user string) error {
			return q.each(ctx, p, user, func(acc *storage.Account, box string, uids []goimap.UID) error {
				v, err := acc.Select(ctx, box, true)
				if err != nil {
					return err
				}
				defer v.Close()
				n += len(uids)
				return v.Remove(ctx, uids)
			})
		})
		return w.tellCount(a, "removed", n, err)
	}
}

func (w *whose) tellCount(a *app, what string, n int, err error) error {
	if err != nil {
		return err
	}
	if w.json {
		return a.object(true, map[string]int{what: n})
	}
	_, err = fmt.Fprintf(a.out, "%d messages %s\n", n, what)
	return err
}

func mailMove(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		q, err := parseQuery(args[1:])
		if err != nil {
			return err
		}
		n := 0
		err = w.each(ctx, a, func(p *server.Parts, user string) error {
			return q.each(ctx, p, user, func(acc *storage.Account, box string, uids []goimap.UID) error {
				if box == args[0] {
					return nil
				}
				v, err := acc.Select(ctx, box, false)
				if err != nil {
					return err
				}
				defer v.Close()
				if _, err := v.Move(ctx, goimap.UIDSetNum(uids...), args[0]); err != nil {
					return err
				}
				n += len(uids)
				return nil
			})
		})
		return w.tellCount(a, "moved", n, err)
	}
}

func mailResync(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return w.each(ctx, a, func(p *server.Parts, user string) error {
			spec, err := p.Spec(ctx, user)
			if err == nil && spec == nil {
				err = fmt.Errorf("%s: %w", user, errNoUser)
			}
			if err != nil {
				return err
			}
			return p.Store.Repair(ctx, *spec)
		})
	}
}

func quotaShow(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		t := a.table(w.json, "USER", "BYTES", "LIMIT", "%", "MESSAGES")
		return t.end(w.each(ctx, a, func(p *server.Parts, user string) error {
			account, err := accountOf(ctx, p, user)
			if err != nil {
				return err
			}
			// What has come since anybody looked is counted too.
			if err := eachFolder(ctx, p, user, &query{}, func(string, storage.Status) error { return nil }); err != nil {
				return err
			}
			q, err := account.Quota(ctx)
			if err != nil {
				return err
			}
			share := ""
			if q.Limit > 0 {
				share = fmt.Sprint(q.Bytes * 100 / q.Limit)
			}
			return t.row(map[string]any{"user": user, "bytes": q.Bytes, "limit": q.Limit, "messages": q.Messages}, user, q.Bytes, size(q.Limit), share, q.Messages)
		}))
	}
}

func mailFetch(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		fields := strings.FieldsFunc(strings.ToLower(args[0]), func(r rune) bool { return r == ' ' || r == ',' })
		for _, f := range fields {
			if !knownField(f) {
				return usage("%s is no field: uid mailbox flags date.received size.virtual hdr hdr.NAME body text", f)
			}
		}
		q, err := parseQuery(args[1:])
		if err != nil {
			return err
		}
		out := bufio.NewWriter(a.out)
		defer out.Flush()
		return w.each(ctx, a, func(p *server.Parts, user string) error {
			return q.each(ctx, p, user, func(acc *storage.Account, box string, uids []goimap.UID) error {
				v, err := acc.Select(ctx, box, true)
				if err != nil {
					return err
				}
				defer v.Close()
				for _, uid := range uids {
					if err := w.fetch(ctx, out, v, uid, fields); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

func knownField(f string) bool {
	switch f {
	case "uid", "mailbox", "flags", "date.received", "size.virtual", "hdr", "body", "text":
		return true
	}
	return strings.HasPrefix(f, "hdr.") && len(f) > 4
}

// fetch prints a message: "field: value", texts on lines of their own, and a
// form feed after it, as doveadm does; or a JSON object on a line.
func (w *whose) fetch(ctx context.Context, out *bufio.Writer, v *storage.View, uid goimap.UID, fields []string) error {
	m, ok := v.Msg(v.Seq(uid))
	if !ok {
		return nil
	}
	object := map[string]any{}
	for _, f := range fields {
		var value string
		switch f {
		case "uid":
			value = fmt.Sprint(uid)
		case "mailbox":
			value = v.Name()
		case "flags":
			value = string(v.AppendFlags(nil, m.Flags))
		case "date.received":
			value = time.Unix(m.Time, 0).Format("2006-01-02 15:04:05 -0700")
		case "size.virtual":
			value = fmt.Sprint(m.Size)
		default:
			body, err := v.Open(ctx, uid)
			if errors.Is(err, storage.ErrExpunged) {
				return nil
			}
			if err != nil {
				return err
			}
			value, err = part(body, f)
			body.Close()
			if err != nil {
				return err
			}
			if !w.json && !strings.HasPrefix(f, "hdr.") {
				value = "\n" + value
			}
		}
		if object[f] = value; !w.json {
			fmt.Fprintf(out, "%s: %s\n", f, value)
		}
	}
	if w.json {
		return json.NewEncoder(out).Encode(object)
	}
	_, err := out.WriteString("\f\n")
	return err
}

// maxPart bounds what is shown of one message.
const maxPart = 64 << 20

// part reads hdr, body, text or hdr.NAME of a message.
func part(r io.Reader, f string) (string, error) {
	all, err := io.ReadAll(io.LimitReader(r, maxPart))
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(string(all), "\r\n", "\n")
	head, body, found := strings.Cut(text, "\n\n")
	if found {
		head += "\n"
	}
	switch f {
	case "text":
		return text, nil
	case "body":
		return body, nil
	case "hdr":
		return head, nil
	}
	var values []string
	for _, line := range strings.Split(strings.ReplaceAll(strings.ReplaceAll(head, "\n ", " "), "\n\t", " "), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, f[4:]) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return strings.Join(values, "\n"), nil
}
