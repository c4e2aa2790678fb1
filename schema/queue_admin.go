package schema

// QueueRetry makes recipients due at once, due time 0: also at a next hop that
// is being left alone. The empty id means every message. Those on hold stay.
func (t *Tx) QueueRetry(id string) (int64, error) {
	if id == "" {
		return t.count(`UPDATE QRecipient SET qrDue = 0 WHERE qrState = 0`)
	}
	return t.count(`UPDATE QRecipient SET qrDue = 0 WHERE qrState = 0 AND qrMsg = ?`, id)
}

// QueueHold puts a message on hold; the empty id means every message. A
// recipient that is being delivered stays on hold if that attempt fails.
func (t *Tx) QueueHold(id string) (int64, error) {
	if id == "" {
		return t.count(`UPDATE QRecipient SET qrState = 2 WHERE qrState IN (0, 1)`)
	}
	return t.count(`UPDATE QRecipient SET qrState = 2 WHERE qrState IN (0, 1) AND qrMsg = ?`, id)
}

// QueueRelease ends a hold, due at once; the empty id means every message.
func (t *Tx) QueueRelease(id string) (int64, error) {
	if id == "" {
		return t.count(`UPDATE QRecipient SET qrState = 0, qrDue = 0 WHERE qrState = 2`)
	}
	return t.count(`UPDATE QRecipient SET qrState = 0, qrDue = 0 WHERE qrState = 2 AND qrMsg = ?`, id)
}

// QueueDelete deletes a message without a word to anybody.
func (t *Tx) QueueDelete(id string) (int64, error) {
	return t.count(`DELETE FROM QMessage WHERE qmId = ?`, id)
}

// QueueRetrySite makes the mail of a site due at once, due time 0: of a domain of
// recipients, or of a next hop as qrSite names it, with or without transport.
func (t *Tx) QueueRetrySite(site string) (int64, error) {
	return t.count(`UPDATE QRecipient SET qrDue = 0 WHERE qrState = 0 AND
		(lower(substr(qrAddress, -length(?1) - 1)) = '@' || lower(?1) OR lower(substr(qrSite, instr(qrSite, ':') + 1)) = lower(?1) OR qrSite = ?1)`, site)
}

// QueueExpire has a message go back when its next attempt fails, and makes it
// due at once, due time 0; the empty id means every message. That on hold waits
// for its release, unless that is asked for too.
func (t *Tx) QueueExpire(id string, release bool) (int64, error) {
	if release {
		if _, err := t.QueueRelease(id); err != nil {
			return 0, err
		}
	}
	if _, err := t.QueueRetry(id); err != nil {
		return 0, err
	}
	if id == "" {
		return t.count(`UPDATE QMessage SET qmExpire = 1`)
	}
	return t.count(`UPDATE QMessage SET qmExpire = 1 WHERE qmId = ?`, id)
}
