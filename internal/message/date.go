package message

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// ErrDate: not a date.
var ErrDate = errors.New("bad date")

// FormatDate writes an RFC 5322 §3.3 date, as in Received fields.
func FormatDate(t time.Time) string { return t.Format("Mon, _2 Jan 2006 15:04:05 -0700 (MST)") }

// ParseDate reads an RFC 5322 §3.3 date with its obsolete forms, tolerant of
// what is seen in the wild: no day of the week, no seconds, no time, words for
// zones, comments, dashes in the date, two digits for the year.
func ParseDate(s string) (time.Time, error) {
	var d dateReader
	d.read(s)
	word := d.next()
	if len(word) > 0 && !isDigit(word[0]) {
		if day := d.next(); len(day) > 0 && isDigit(day[0]) {
			word = day
		} else { // asctime: Sat Nov 21 07:34:55 2026
			return d.asctime(day)
		}
	}
	day, ok := number(word, 1, 31)
	month := monthOf(d.next())
	year, ok2 := yearOf(d.next())
	if !ok || !ok2 || month == 0 {
		return time.Time{}, ErrDate
	}
	clock := d.next()
	return d.date(year, month, day, clock, d.next())
}

// dateReader gives the words of a date.
type dateReader struct{ words []string }

// maxDateWords: a date has 6 at most.
const maxDateWords = 8

func (d *dateReader) read(s string) {
	if len(s) > 256 {
		s = s[:256]
	}
	x := lexer{s: s}
	for x.space() && !x.end() && len(d.words) < maxDateWords {
		b, ok := x.run(nil, func(c byte) bool { return isAtextOrDot(c) || c == ':' })
		if ok {
			d.words = append(d.words, splitDashes(string(b))...)
			continue
		}
		x.i++ // a comma, mostly
	}
}

// splitDashes parts 21-Nov-2026, but leaves -0500.
func splitDashes(s string) []string {
	if p := strings.Split(s, "-"); len(p) == 3 && p[0] != "" && p[1] != "" {
		return p
	}
	return []string{s}
}

func (d *dateReader) next() string {
	if len(d.words) == 0 {
		return ""
	}
	w := d.words[0]
	d.words = d.words[1:]
	return w
}

func (d *dateReader) asctime(monthWord string) (time.Time, error) {
	month := monthOf(monthWord)
	day, ok := number(d.next(), 1, 31)
	clock, yearWord := d.next(), d.next()
	zone := ""
	if len(d.words) > 0 && yearWord != "" && !isDigit(yearWord[0]) { // date(1) has the zone first
		zone, yearWord = yearWord, d.next()
	}
	year, ok2 := yearOf(yearWord)
	if !ok || !ok2 || month == 0 {
		return time.Time{}, ErrDate
	}
	return d.date(year, month, day, clock, zone)
}

func (d *dateReader) date(year int, month time.Month, day int, clock, zone string) (time.Time, error) {
	h, m, s, ok := clockOf(clock)
	if !ok {
		return time.Time{}, ErrDate
	}
	if time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day() != day { // 31 February
		return time.Time{}, ErrDate
	}
	return time.Date(year, month, day, h, m, s, 0, zoneOf(zone)), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func number(s string, low, high int) (int, bool) {
	if s == "" || len(s) > 4 || !isDigit(s[0]) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= low && n <= high
}

func monthOf(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// yearOf: RFC 5322 §4.3.
func yearOf(s string) (int, bool) {
	n, ok := number(s, 0, 9999)
	switch {
	case !ok || len(s) < 2:
		return 0, false
	case len(s) == 2 && n < 50:
		n += 2000
	case len(s) < 4:
		n += 1900
	}
	return n, true
}

// clockOf reads hh:mm[:ss]; none is midnight.
func clockOf(s string) (h, m, sec int, ok bool) {
	if s == "" {
		return 0, 0, 0, true
	}
	p := strings.FieldsFunc(s, func(c rune) bool { return c == ':' || c == '.' })
	if len(p) < 2 || len(p) > 4 {
		return 0, 0, 0, false
	}
	h, ok = number(p[0], 0, 23)
	m, ok2 := number(p[1], 0, 59)
	ok3 := true
	if len(p) > 2 {
		sec, ok3 = number(p[2], 0, 60)
	}
	return h, m, sec, ok && ok2 && ok3
}

// zoneOf reads a zone; what is not known is UTC, RFC 5322 §4.3.
func zoneOf(s string) *time.Location {
	if len(s) == 5 && (s[0] == '+' || s[0] == '-') {
		n, err := strconv.Atoi(s[1:])
		if err != nil || n < 0 || n/100 > 23 || n%100 > 59 {
			return time.UTC
		}
		offset := (n/100*60 + n%100) * 60
		if s[0] == '-' {
			offset = -offset
		}
		if offset == 0 {
			return time.UTC
		}
		return time.FixedZone("", offset)
	}
	hours := 0
	switch strings.ToUpper(s) {
	case "EDT":
		hours = -4
	case "EST", "CDT":
		hours = -5
	case "CST", "MDT":
		hours = -6
	case "MST", "PDT":
		hours = -7
	case "PST":
		hours = -8
	case "BST", "CET", "MET":
		hours = 1
	case "CEST", "MEST", "EET":
		hours = 2
	case "EEST", "MSK":
		hours = 3
	case "JST", "KST":
		hours = 9
	}
	if hours == 0 {
		return time.UTC
	}
	return time.FixedZone("", hours*3600)
}

// SentDay is Record.SentDate of a Date field's value.
func SentDay(value string) (t time.Time, ok bool) {
	if t, ok = plainDay(value); ok {
		return t, true
	}
	d, err := ParseDate(value)
	if err != nil {
		return time.Unix(0, 0).UTC(), false
	}
	return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC), true
}

// plainDay is SentDay for what nearly all programs write, as
// "Mon, 02 Jan 2006 15:04:05 -0700"; false for all else, right or wrong.
func plainDay(s string) (t time.Time, ok bool) {
	const form = "Www, 00 Mmm 0000 00:00:00 +0000"
	if len(s) != len(form) {
		return t, false
	}
	for i := range len(form) {
		switch c := s[i]; form[i] {
		case ',', ' ', ':':
			ok = c == form[i]
		case '+':
			ok = c == '+' || c == '-'
		case 'W', 'w', 'M', 'm':
			ok = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		default:
			ok = isDigit(c)
		}
		if !ok {
			return t, false
		}
	}
	two := func(at int) int { return int(s[at]-'0')*10 + int(s[at+1]-'0') }
	month, day, year := monthOf(s[8:11]), two(5), two(12)*100+two(14)
	if month == 0 || year < 1000 || two(17) > 23 || two(20) > 59 || two(23) > 59 {
		return t, false
	}
	t = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return t, t.Day() == day && day > 0
}
