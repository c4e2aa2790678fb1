package route

import (
	"context"
	"os/exec"
	"sync"
	"testing"
)

// TestAppendixInTheShell runs statements as the original's appendix writes
// them, in the sqlite3 shell, against a file that is in use.
func TestAppendixInTheShell(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("no sqlite3 here")
	}
	r, path := newRouter(t)
	for _, tt := range []struct{ statement, to, want string }{
		{`INSERT INTO Domain (domName, domClass) VALUES ('vmail.example', 842);
		  INSERT INTO Address (addLocalpart, addDomNum) VALUES ('new-vmail-user', (SELECT domNum FROM Domain WHERE domName IS 'vmail.example'));
		  INSERT INTO VMailbox (vmNum, vmPasswd) VALUES ((SELECT addNum FROM Address JOIN Domain ON (Address.addDomNum=Domain.domNum) WHERE addLocalpart IS 'new-vmail-user' AND domName IS 'vmail.example'), '{PLAIN}whatAcoolPassword');`,
			"new-vmail-user@vmail.example", "new-vmail-user@vmail.example: /home/vmail/vmail.example/new-vmail-user/Mail 842:800"},
		{`INSERT INTO Transport (tpNexthop) VALUES ('mx.new.example');
		  INSERT INTO Domain (domName, domTpNum, domClass, domRcNum) VALUES ('relay2.example', (SELECT tpNum FROM Transport WHERE tpNexthop IS 'mx.new.example'), 2, 20);
		  INSERT INTO Address (addLocalpart, addDomNum) VALUES ('postmaster', (SELECT domNum FROM Domain WHERE domName IS 'relay2.example'));`,
			"postmaster@relay2.example", "postmaster@relay2.example: relay:mx.new.example"},
		{`INSERT INTO Address (addLocalpart, addDomNum) VALUES ('', (SELECT domNum FROM Domain WHERE domName IS 'catchall.example'));
		  INSERT INTO VAlias (vaNum, vaTargetNum) VALUES ((SELECT addNum FROM Address JOIN Domain on (Address.addDomNum=Domain.domNum) WHERE addLocalpart IS '' AND domName IS 'catchall.example'), (SELECT addNum FROM Address JOIN Domain ON (Address.addDomNum=Domain.domNum) WHERE addLocalpart IS 'new-vmail-user' AND domName IS 'vmail.example'));`,
			"whoever@catchall.example", "new-vmail-user@vmail.example: /home/vmail/vmail.example/new-vmail-user/Mail 842:800"},
		{`UPDATE VAlias SET active=0;`, "whoever@catchall.example", "whoever@catchall.example: 5.1.1 User unknown in virtual alias table"},
		{`UPDATE Domain set active=0 WHERE domName IS 'vmail.example';`, "new-vmail-user@vmail.example", "new-vmail-user@vmail.example: smtp:vmail.example"},
	} {
		if out, err := exec.Command(shell, path, tt.statement).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := expand(t, r, tt.to); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.to, got, tt.want)
		}
	}
}

func TestManyAskWhileRowsChange(t *testing.T) {
	r, path := newRouter(t, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("@catchall.example"), valias("@catchall.example", "ann@new.vmail.example"))
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if _, err := r.Recipient(ctx, parse(t, "x@catchall.example")); err != nil {
					t.Error(err)
				}
				list, err := r.Expand(ctx, parse(t, "x@catchall.example"))
				if err != nil || len(list) != 1 || list[0].Kind != Mailbox {
					t.Errorf("%+v, %v", list, err)
				}
			}
		})
	}
	for range 20 {
		other(t, path, "UPDATE Domain SET domRcNum = (domRcNum + 10) % 40 WHERE domName = 'catchall.example'")
	}
	wg.Wait()
}
