package schema

import (
	"cmp"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"
)

// QueueState is QRecipient.qrState.
type QueueState int

// States of a queued recipient.
const (
	QueueWaiting   QueueState = 0 // for its due time
	QueueActive    QueueState = 1 // a running server works at it
	QueueHeld      QueueState = 2
	QueueFailed    QueueState = 3 // for good; the sender is not told yet
	QueueDelivered QueueState = 4 // the sender asked to know, and is not told yet
)

// QueueMessage is a row of QMessage.
type QueueMessage struct {
	ID      string
	Arrived time.Time // whole seconds; the ID knows it to the microsecond
	Size    int64     // bytes
	Sender  string    // '' is the null sender
	Body    string    // 7BIT, 8BITMIME, BINARYMIME or ''
	UTF8    bool      // SMTPUTF8
	// RequireTLS: only over TLS with a verified certificate, RFC 8689.
	RequireTLS bool
	Ret        string // FULL, HDRS or ''
	EnvID      string
	User       string // who logged in
	Client     string // name[address]
	Helo       string
	Proto      string
	Filter     string // transport:nexthop that takes the whole message, or ''
	Prepend    string // header lines above the file, with CRLF
	Reason     string // header line for mailboxes here, without CRLF: why it was taken
	Warned     bool   // a delay notice was sent
	Tag        string // of the listener it came in at
	Expire     bool   // goes back if the next attempt fails, whatever its age
}

// QueueRecipient is a row of QRecipient.
type QueueRecipient struct {
	Num      int64
	Message  string
	Address  string // where it goes, aliases followed
	Original string // what RCPT said
	ORCPT    string // type;address or ''
	Notify   string // NEVER, or FAILURE,DELAY,SUCCESS; '' none given
	Site     string // transport:nexthop
	State    QueueState
	Due      time.Time
	Attempts int
	Status   string // the last enhanced code
	Reply    string // the last words
	MTA      string // the host that said them; '' they are ours
	Diag     string // its own reply, code first
	Apart    bool   // for the mailbox of what was put apart
}

// QueueAdd writes a message and its recipients, and sets their Num.
func (t *Tx) QueueAdd(m *QueueMessage, rcpts []QueueRecipient) error {
	err := t.exec(`INSERT INTO QMessage (qmId, qmArrived, qmSize, qmSender, qmBody, qmUtf8, qmRet, qmEnvid,
		qmUser, qmClient, qmHelo, qmProto, qmFilter, qmPrepend, qmWarned, qmTag, qmExpire, qmRequireTls, qmReason) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		m.ID, m.Arrived.Unix(), m.Size, m.Sender, m.Body, m.UTF8, m.Ret, m.EnvID,
		m.User, m.Client, m.Helo, m.Proto, m.Filter, m.Prepend, m.Warned, m.Tag, m.Expire, m.RequireTLS, m.Reason)
	if err != nil {
		return fmt.Errorf("queue message %s: %w", m.ID, err)
	}
	for i := range rcpts {
		r := &rcpts[i]
		r.Message = m.ID
		res, err := t.execResult(`INSERT INTO QRecipient (qrMsg, qrAddress, qrOriginal, qrOrcpt, qrNotify, qrSite,
			qrState, qrDue, qrAttempts, qrStatus, qrReply, qrMta, qrDiag, qrApart) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			r.Message, r.Address, r.Original, r.ORCPT, r.Notify, r.Site,
			int(r.State), r.Due.Unix(), r.Attempts, r.Status, r.Reply, r.MTA, r.Diag, r.Apart)
		if err != nil {
			return fmt.Errorf("queue recipient of %s: %w", m.ID, err)
		}
		if r.Num, err = res.LastInsertId(); err != nil {
			return fmt.Errorf("queue recipient of %s: %w", m.ID, err)
		}
	}
	return nil
}

// QueueTake makes recipients active that are due at now, the longest due first:
// up to fresh of those never tried, and up to retries of the others.
func (t *Tx) QueueTake(now time.Time, fresh, retries int) ([]QueueRecipient, error) {
	list, err := t.queueTake(`qrAttempts = 0 AND`, now, fresh)
	if err != nil {
		return nil, err
	}
	rest, err := t.queueTake(`qrAttempts > 0 AND`, now, retries)
	return append(list, rest...), err
}

func (t *Tx) queueTake(which string, now time.Time, limit int) ([]QueueRecipient, error) {
	list, err := t.queueRecipients(`UPDATE QRecipient SET qrState = 1 WHERE qrNum IN
		(SELECT qrNum FROM QRecipient WHERE qrState = 0 AND `+which+` qrDue <= ? ORDER BY qrDue, qrNum LIMIT ?)
		RETURNING `+queueRecipientColumns, now.Unix(), limit)
	slices.SortFunc(list, func(a, b QueueRecipient) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Num, b.Num))
	})
	return list, err
}

// QueuePutOff is what a destination's mail waits for when it is put off
// without an attempt for each recipient.
type QueuePutOff struct {
	Site string
	Now  time.Time
	// The next attempt is at the first run of the queue, Run apart and counted
	// from Start, after as long as the message is old, within Min and Max.
	Start    time.Time
	Run      time.Duration
	Min, Max time.Duration
	// Lifetime and BounceLifetime are the ages at which mail goes back, Warning
	// that of a delay notice, 0 none: what has reached one of them is not put off.
	Lifetime, BounceLifetime, Warning time.Duration

	Status, Reply, MTA, Diag string // why; an empty Reply leaves these as they are
}

// QueuePutOff puts off up to limit waiting recipients of a site that are due
// at p.Now, and returns how many those were.
func (t *Tx) QueuePutOff(p *QueuePutOff, limit int64) (int64, error) {
	now, seconds := p.Now.Unix(), func(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
	run := max(seconds(p.Run), 1)
	warned := int64(math.MinInt64)
	if p.Warning > 0 {
		warned = now - seconds(p.Warning)
	}
	return t.count(`UPDATE QRecipient SET
		qrDue = ?1 + ((?2 + min(max(?2 - qmArrived, ?3), ?4) - ?1 + ?5 - 1) / ?5) * ?5,
		qrStatus = CASE WHEN ?7 = '' THEN qrStatus ELSE ?6 END, qrReply = CASE WHEN ?7 = '' THEN qrReply ELSE ?7 END,
		qrMta = CASE WHEN ?7 = '' THEN qrMta ELSE ?8 END, qrDiag = CASE WHEN ?7 = '' THEN qrDiag ELSE ?9 END
		FROM QMessage WHERE qmId = qrMsg AND qrNum IN (
			SELECT qrNum FROM QRecipient JOIN QMessage ON qmId = qrMsg
			WHERE qrState = 0 AND qrSite = ?10 AND qrDue <= ?2 AND qmArrived > iif(qmSender = '', ?12, ?11) AND (qmWarned OR qmArrived > ?13) AND NOT qmExpire
			ORDER BY qrDue LIMIT ?14)`,
		min(p.Start.Unix(), now), now, seconds(p.Min), seconds(p.Max), run, p.Status, p.Reply, p.MTA, p.Diag,
		p.Site, now-seconds(p.Lifetime), now-seconds(p.BounceLifetime), warned, limit)
}

// QueueGiveBack makes recipients wait again that were taken, due then.
func (t *Tx) QueueGiveBack(nums []int64, due time.Time) error {
	for _, num := range nums {
		if err := t.exec(`UPDATE QRecipient SET qrState = 0, qrDue = ? WHERE qrNum = ? AND qrState = 1`, due.Unix(), num); err != nil {
			return wrap("give back to queue", err)
		}
	}
	return nil
}

// QueueWaitAgain makes every active recipient wait, due at once: what a server
// that died had in hand.
func (t *Tx) QueueWaitAgain(now time.Time) error {
	return wrap("reset queue", t.exec(`UPDATE QRecipient SET qrState = 0, qrDue = min(qrDue, ?) WHERE qrState = 1`, now.Unix()))
}

// QueueDone deletes a recipient that needs no more work.
func (t *Tx) QueueDone(num int64) error {
	return wrap("take recipient off queue", t.exec(`DELETE FROM QRecipient WHERE qrNum = ?`, num))
}

// QueueOutcome records what an attempt gave: State, Due, Attempts, Status,
// Reply, MTA and Site. A row that was held, or deleted, meanwhile stays so,
// unless the state is final.
func (t *Tx) QueueOutcome(r *QueueRecipient) error {
	err := t.exec(`UPDATE QRecipient SET qrState = CASE WHEN qrState = 2 AND ?1 = 0 THEN 2 ELSE ?1 END,
		qrDue = ?2, qrAttempts = ?3, qrStatus = ?4, qrReply = ?5, qrMta = ?6, qrSite = ?7, qrDiag = ?8 WHERE qrNum = ?9`,
		int(r.State), r.Due.Unix(), r.Attempts, r.Status, r.Reply, r.MTA, r.Site, r.Diag, r.Num)
	return wrap("record outcome of "+r.Message, err)
}

// QueueWarned records that the sender was told of the delay.
func (t *Tx) QueueWarned(id string) error {
	return wrap("record notice for "+id, t.exec(`UPDATE QMessage SET qmWarned = 1 WHERE qmId = ?`, id))
}

// QueueSweep deletes a message that has no recipients left; gone is true when
// it is not in the queue afterwards.
func (t *Tx) QueueSweep(id string) (gone bool, err error) {
	err = t.exec(`DELETE FROM QMessage WHERE qmId = ?1 AND NOT EXISTS (SELECT 1 FROM QRecipient WHERE qrMsg = ?1)`, id)
	if err != nil {
		return false, wrap("sweep "+id, err)
	}
	var n int
	err = t.queryRow(`SELECT count(*) FROM QMessage WHERE qmId = ?`, id).Scan(&n)
	return n == 0, wrap("sweep "+id, err)
}

func (t *Tx) count(query string, args ...any) (int64, error) {
	res, err := t.execResult(query, args...)
	if err != nil {
		return 0, fmt.Errorf("change queue: %w", err)
	}
	return res.RowsAffected()
}

const queueRecipientColumns = `qrNum, qrMsg, qrAddress, qrOriginal, qrOrcpt, qrNotify, qrSite,
	qrState, qrDue, qrAttempts, qrStatus, qrReply, qrMta, qrDiag, qrApart`

const queueMessageColumns = `qmId, qmArrived, qmSize, qmSender, qmBody, qmUtf8, qmRet, qmEnvid,
	qmUser, qmClient, qmHelo, qmProto, qmFilter, qmPrepend, qmWarned, qmTag, qmExpire, qmRequireTls, qmReason`

func (t *Tx) queueRecipients(query string, args ...any) ([]QueueRecipient, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return scanQueueRecipients(rows)
}

func scanQueueRecipients(rows *sql.Rows) ([]QueueRecipient, error) {
	defer rows.Close()
	var list []QueueRecipient
	for rows.Next() {
		var r QueueRecipient
		var due int64
		err := rows.Scan(&r.Num, &r.Message, &r.Address, &r.Original, &r.ORCPT, &r.Notify, &r.Site,
			&r.State, &due, &r.Attempts, &r.Status, &r.Reply, &r.MTA, &r.Diag, &r.Apart)
		if err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		r.Due = time.Unix(due, 0)
		list = append(list, r)
	}
	return list, wrap("read queue", rows.Err())
}

func scanQueueMessage(scan func(...any) error) (*QueueMessage, error) {
	var m QueueMessage
	var arrived int64
	err := scan(&m.ID, &arrived, &m.Size, &m.Sender, &m.Body, &m.UTF8, &m.Ret, &m.EnvID,
		&m.User, &m.Client, &m.Helo, &m.Proto, &m.Filter, &m.Prepend, &m.Warned, &m.Tag, &m.Expire, &m.RequireTLS, &m.Reason)
	m.Arrived = time.Unix(arrived, 0)
	return &m, err
}
