package schema

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
)

func lookUp(t *testing.T, m *Mail, local string) *Address {
	t.Helper()
	v, err := m.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Address(context.Background(), 1, local)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// otherProgram opens the file as another program does.
func otherProgram(t *testing.T, m *Mail) *sql.DB {
	t.Helper()
	db, err := open(m.path, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestChangeDuringSharedTransaction: the transaction that look-ups share never
// hides a change, however fast they follow one another.
func TestChangeDuringSharedTransaction(t *testing.T) {
	m := bigMail(t, 1, 3)
	db := otherProgram(t, m)
	for i := range 200 {
		lookUp(t, m, fmt.Sprint("u", i%2)) // opens the transaction
		if _, err := db.Exec(`UPDATE Address SET active = ? WHERE addLocalpart = 'u2'`, i%2); err != nil {
			t.Fatal(err)
		}
		if a := lookUp(t, m, "u2"); a == nil || a.Active != i%2 {
			t.Fatalf("change %d is not seen: %+v", i, a)
		}
	}
	if _, err := db.Exec(`INSERT INTO VAlias (vaNum, vaTargetNum) SELECT a.addNum, b.addNum FROM Address a, Address b
		WHERE a.addLocalpart = 'u0' AND b.addLocalpart = 'u1'`); err != nil {
		t.Fatal(err)
	}
	if a := lookUp(t, m, "u0"); !a.HasVAlias || a.HasAlias {
		t.Errorf("the first row of VAlias: %+v", a)
	}
	if a := lookUp(t, m, "u1"); a.HasVAlias {
		t.Errorf("a row of another: %+v", a)
	}
}

// TestSharedTransactionEnds: nobody who wants the log emptied waits for longer
// than a moment.
func TestSharedTransactionEnds(t *testing.T) {
	m := bigMail(t, 1, 3)
	db := otherProgram(t, m)
	for i := range 20 {
		if _, err := db.Exec(`UPDATE Address SET active = ?`, i%2); err != nil {
			t.Fatal(err)
		}
		lookUp(t, m, "u0")
		var busy, log, done int
		if err := db.QueryRow(`PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil || busy != 0 {
			t.Fatalf("checkpoint %d: busy %d, %v", i, busy, err)
		}
	}
}

// TestColumnsOfAnAddress: every column arrives in its place, NULL or not.
func TestColumnsOfAnAddress(t *testing.T) {
	m := bigMail(t, 1, 3)
	if _, err := otherProgram(t, m).Exec(`
		INSERT INTO RClass (rcNum, rcName) VALUES (20, 'RC20');
		INSERT INTO Transport (tpTransport, tpNexthop) VALUES ('smtp', 'next.example');
		UPDATE Address SET active = -1, addRcNum = 20, addTpNum = 1 WHERE addLocalpart = 'u1';
		UPDATE VMailbox SET vmUid = 5, vmGid = 6, vmHome = '/h', vmQuota = 7, vmHost = 'b.example'
			WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'u1');
		DELETE FROM VMailbox WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'u2');
		UPDATE VMailbox SET active = 'true' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'u0')`); err != nil {
		t.Fatal(err)
	}
	a := lookUp(t, m, "U1")
	if a.Active != -1 || a.Localpart != "u1" || a.DomNum != 1 || a.Domain != "d0.example" || a.RClass != 20 || a.Transport == nil || a.Transport.Nexthop != "next.example" {
		t.Errorf("%+v", a)
	}
	if want := (VMailbox{Active: true, Passwd: "{PLAIN}x", UID: 5, GID: 6, Home: "/h", Quota: 7, Host: "b.example"}); *a.Mailbox != want {
		t.Errorf("%+v, want %+v", *a.Mailbox, want)
	}
	if a := lookUp(t, m, "u2"); a.Mailbox != nil || a.RClass != -1 || a.Transport != nil {
		t.Errorf("%+v", a)
	}
	if a := lookUp(t, m, "u0"); *a.Mailbox != (VMailbox{Active: true, Passwd: "{PLAIN}x", UID: -1, GID: -1, Quota: -1}) {
		t.Errorf("%+v", *a.Mailbox)
	}
}

// TestLookUpsAtOnce: look-ups, changes and the end of the program do not get
// into each other's way.
func TestLookUpsAtOnce(t *testing.T) {
	m := bigMail(t, 1, 50)
	db := otherProgram(t, m)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 300 {
				v, err := m.View(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				if a, err := v.Address(context.Background(), 1, fmt.Sprint("u", i%50)); err != nil || a == nil {
					t.Error(a, err)
					return
				}
			}
		})
	}
	for i := range 50 {
		if _, err := db.Exec(`UPDATE Address SET active = ?`, i%2); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	v, err := m.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := v.address(context.Background(), byNum, int64(1)); err == nil {
		t.Error("a closed file answers")
	}
}
