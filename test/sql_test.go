package test

import (
	"context"
	"path/filepath"

	"mailserver/schema"
)

// sql runs statements on mail.sqlite as another program does.
func (h *host) sql(statements string) {
	h.t.Helper()
	if err := schema.Script(context.Background(), filepath.Join(h.dir, "mail.sqlite"), statements); err != nil {
		h.t.Fatal(err)
	}
}
