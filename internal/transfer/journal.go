package transfer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Journal remembers in a file how far transfers from a source have come: a line
// before each step and a line after it.
type Journal struct {
	f     *os.File
	boxes map[string]entry
}

// entry is a line. Begun is a step of which it is not known whether it was done:
// it was, if the target's number has grown.
type entry struct {
	Box      string `json:"box"`
	Validity string `json:"validity"`
	Last     string `json:"last"`
	Begun    bool   `json:"begun,omitempty"`
	Next     uint32 `json:"next,omitempty"`
	before   string // Last of the step before
}

// OpenJournal opens or makes the file. Close it.
func OpenJournal(path string) (*Journal, error) {
	j := &Journal{boxes: map[string]entry{}}
	old, err := os.Open(path)
	if err == nil {
		err = j.read(old)
		old.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if j.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

// Close closes the file.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	return j.f.Close()
}

// Empty says that no transfer has begun.
func (j *Journal) Empty() bool { return j == nil || len(j.boxes) == 0 }

func (j *Journal) read(f *os.File) error {
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var e entry
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			continue // the end of a line that a crash has torn
		}
		j.keep(e)
	}
	return sc.Err()
}

func (j *Journal) keep(e entry) {
	old := j.boxes[e.Box]
	if old.Validity == e.Validity {
		e.before = old.Last
		if old.Begun {
			e.before = old.before
		}
	}
	j.boxes[e.Box] = e
}

func (j *Journal) write(e entry) error {
	j.keep(e)
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.f.Write(append(line, '\n'))
	}
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *Journal) begin(b Box, validity, last string, next uint32) error {
	if j == nil {
		return nil
	}
	return j.write(entry{Box: b.Name, Validity: validity, Last: last, Begun: true, Next: next})
}

func (j *Journal) done(b Box, validity, last string) error {
	if j == nil {
		return nil
	}
	return j.write(entry{Box: b.Name, Validity: validity, Last: last})
}

// resume returns the mark up to which a mailbox is copied.
func (j *Journal) resume(ctx context.Context, to Target, b Box, validity string) (after string, err error) {
	if j == nil {
		return "", nil
	}
	e, found := j.boxes[b.Name]
	switch {
	case !found:
		return "", nil
	case e.Validity != validity:
		return "", fmt.Errorf("it was made anew in the source since the last run (%s, was %s)", validity, e.Validity)
	case !e.Begun:
		return e.Last, nil
	}
	next, err := to.Next(ctx, b)
	if err != nil {
		return "", err
	}
	if next > e.Next {
		return e.Last, nil
	}
	return e.before, nil
}
