package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"mailserver/delivery/local"
	"mailserver/internal/server"
)

func deliverCommands() []command {
	return []command{{name: "deliver", setup: deliver,
		about: "put the message on standard input into a mailbox, as dovecot-lda",
		more: "Exit codes: 0 delivered, 64 usage, 67 no such user, 75 try again, 77 refused.\n" +
			"sendmail, mailq, newaliases, postqueue, postsuper, postcat and postmap work too:\n" +
			"as first argument, or as the name of a link to this program."}}
}

func deliver(fs *flag.FlagSet) action {
	login := fs.String("d", os.Getenv("USER"), "`user` whose mailbox it is: user@domain, or a user of the system")
	sender := fs.String("f", "", "envelope `sender`, for Return-Path")
	original := fs.String("a", "", "original `recipient`, for X-Original-To")
	folder := fs.String("m", "", "`folder`; one that does not exist is INBOX")
	fs.Bool("e", false, "what is refused ends with exit code 77; it always does")
	fs.Bool("k", false, "has no meaning here")
	return func(ctx context.Context, a *app, args []string) error {
		if len(args) > 0 {
			return usage("deliver: %q is not an option", args[0])
		}
		if strings.ContainsAny(*sender+*original+*login, "\r\n") {
			return usage("deliver: an address holds a line end")
		}
		if *login == "" {
			return usage("deliver: say whose mailbox with -d")
		}
		text, err := spoolStdin(a.in, true)
		if err != nil {
			return &exitError{exitTempFail, fmt.Errorf("deliver: read message: %w", err)}
		}
		defer text.Close()
		box := local.Box{Address: *login, Original: *original, Folder: *folder}
		return deliverExit(a.withParts(ctx, func(p *server.Parts) error { return deliverTo(ctx, p, box, *sender, text) }))
	}
}

// errNoUser says that nobody has that mailbox.
var errNoUser = errors.New("no such user")

func deliverTo(ctx context.Context, p *server.Parts, box local.Box, sender string, text *os.File) error {
	spec, err := p.Spec(ctx, box.Address)
	if err != nil {
		return err
	}
	if spec == nil {
		return fmt.Errorf("%s: %w", box.Address, errNoUser)
	}
	box.Spec = *spec
	st, err := text.Stat()
	if err != nil {
		return err
	}
	m := &local.Message{Sender: sender, Size: st.Size(), Open: func() (io.Reader, error) {
		_, err := text.Seek(0, io.SeekStart)
		return text, err
	}}
	return local.Deliver(ctx, p.Store, m, []local.Box{box})[0]
}

// deliverExit gives an error the exit code that mail programs go by: what can
// be mended is temporary, and the caller keeps the message.
func deliverExit(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoUser):
		return &exitError{exitNoUser, fmt.Errorf("deliver: %w", err)}
	case errors.Is(err, local.ErrFull):
		return &exitError{exitNoPerm, fmt.Errorf("deliver: %w", err)}
	}
	return &exitError{exitTempFail, fmt.Errorf("deliver: %w", err)}
}
