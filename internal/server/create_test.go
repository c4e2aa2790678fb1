package server_test

import (
	"context"
	"os"
	"testing"

	"mailserver/internal/server"
	"mailserver/schema"
)

// TestCreateLeavesNoHalf: what failed can be done again.
func TestCreateLeavesNoHalf(t *testing.T) {
	ctx := context.Background()
	p := server.Plan{Dir: t.TempDir(), Hostname: "mail.example.org", Settings: server.OwnMail(),
		Listeners: []schema.Listener{{Protocol: "gopher", Address: "127.0.0.1:70", TLS: "may"}}}
	if err := server.Create(ctx, p); err == nil {
		t.Fatal("a listener of no protocol was taken")
	}
	if _, err := os.Stat(server.MailFile(p.Dir)); err == nil {
		t.Error("half a mail.sqlite is left")
	}
	p.Listeners = nil
	if err := server.Create(ctx, p); err != nil {
		t.Error(err)
	}
}
