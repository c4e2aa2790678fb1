package storage

import (
	"context"
	"fmt"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// loadKeywords reads the names of keywords: those with letters from the file
// that other programs read and write too, the rest from the index. b.mu is held
// for writing.
func (b *box) loadKeywords(ctx context.Context) error {
	if b.keysRead {
		return nil
	}
	names, err := b.t.s.d.State.Keywords(ctx, b.num)
	if err != nil {
		return fmt.Errorf("read keywords of %s: %w", b.row.Name, err)
	}
	for num, name := range names {
		if num >= 0 && num < maxKeywords {
			b.keys.set(num, name)
		}
	}
	if err := b.readKeywordFile(ctx); err != nil {
		return err
	}
	b.keysRead = true
	return nil
}

// readKeywordFile takes what the keyword file has. b.mu is held for writing.
func (b *box) readKeywordFile(ctx context.Context) error {
	text, err := b.t.readFile(b.row.Dir, keywordFile, maxKeywordFile)
	if err != nil || text == b.keysOf {
		return err
	}
	var added []int
	for num, name := range parseKeywordFile(text) {
		if b.keys.names[num] != name {
			b.keys.set(num, name)
			added = append(added, num)
		}
	}
	b.keysOf = text
	if len(added) == 0 {
		return nil
	}
	return b.saveKeywords(ctx, added)
}

func (b *box) saveKeywords(ctx context.Context, nums []int) error {
	err := b.t.s.d.State.Write(ctx, func(tx *schema.Tx) error {
		for _, num := range nums {
			if err := tx.SetKeyword(b.num, num, b.keys.names[num]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write keywords of %s: %w", b.row.Name, err)
	}
	return nil
}

// bits returns the bits of flags, giving new keywords a number; \Recent has
// none. b.mu is held for writing.
func (b *box) bits(ctx context.Context, flags []imap.Flag) (set FlagSet, grown bool, err error) {
	if err := b.loadKeywords(ctx); err != nil {
		return 0, false, err
	}
	keys := b.keys
	var added []int
	letters := false
	for _, f := range flags {
		if bit, ok := keys.bit(f); ok {
			set |= bit
			continue
		}
		if f == "" || f[0] == '\\' {
			continue // \Recent, and system flags that nobody has
		}
		num := keys.free()
		if !validKeyword(string(f)) {
			return 0, false, fmt.Errorf("keyword %q: %w", f, ErrBadKeyword)
		}
		if num < 0 {
			return 0, false, fmt.Errorf("keyword %q: %w", f, ErrKeywords)
		}
		keys.set(num, string(f))
		added = append(added, num)
		letters = letters || num < numLetters
		set |= keywordBit(num)
	}
	if len(added) == 0 {
		return set, false, nil
	}
	return set, true, b.addKeywords(ctx, keys, added, letters)
}

// addKeywords writes the file first: a letter must not be in a file name before
// everybody can know what it means.
func (b *box) addKeywords(ctx context.Context, keys keywords, added []int, letters bool) error {
	if letters {
		text := keys.formatFile()
		if err := b.t.writeFile(b.row.Dir, keywordFile, text); err != nil {
			return spaceError(fmt.Errorf("write keywords of %s: %w", b.row.Name, err))
		}
		b.keysOf = text
	}
	old := b.keys
	b.keys = keys
	if err := b.saveKeywords(context.WithoutCancel(ctx), added); err != nil {
		b.keys = old
		return err
	}
	return nil
}
