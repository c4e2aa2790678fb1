package main

import (
	"context"
	"flag"

	"mailserver/internal/server"
	"mailserver/storage"
)

// ftsCommands are about the text indexes, in the manner of doveadm-fts(1).
func ftsCommands() []command {
	return []command{
		{name: "fts status", about: "how far the text indexes are", setup: ftsStatus},
		{name: "fts index", about: "bring text indexes up to date", setup: func(fs *flag.FlagSet) action {
			return eachText(fs, func(ctx context.Context, a *storage.Account) error { return a.IndexText(ctx, false) })
		}},
		{name: "fts rebuild", about: "make text indexes anew", setup: func(fs *flag.FlagSet) action {
			return eachText(fs, func(ctx context.Context, a *storage.Account) error { return a.IndexText(ctx, true) })
		}},
		{name: "fts drop", about: "empty text indexes", setup: func(fs *flag.FlagSet) action {
			return eachText(fs, (func(ctx context.Context, a *storage.Account) error { return a.DropText(ctx) }))
		}},
	}
}

func eachText(fs *flag.FlagSet, do func(context.Context, *storage.Account) error) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return w.each(ctx, a, func(p *server.Parts, user string) error {
			account, err := accountOf(ctx, p, user)
			if err != nil {
				return err
			}
			return do(ctx, account)
		})
	}
}

func ftsStatus(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		t := a.table(w.json, "USER", "MESSAGES", "INDEXED", "DIFFERENT", "BYTES", "SEGMENTS")
		return t.end(w.each(ctx, a, func(p *server.Parts, user string) error {
			account, err := accountOf(ctx, p, user)
			if err != nil {
				return err
			}
			st, err := account.TextStatus(ctx)
			if err != nil {
				return err
			}
			return t.row(map[string]any{"user": user, "messages": st.Messages, "indexed": st.Indexed, "different": st.Docs, "bytes": st.Bytes, "segments": st.Segments},
				user, st.Messages, st.Indexed, st.Docs, st.Bytes, st.Segments)
		}))
	}
}
