// Package config knows every part's Config struct, and fills them from rows of
// the table Setting. It is the only place that knows all parameters.
package config

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"mailserver/internal/setting"
	"mailserver/schema"
)

// ErrInvalid says that a row of Setting has a value that its parameter cannot
// have. Commands are answered 451 until the row is mended.
var ErrInvalid = errors.New("invalid setting")

// Source gives each part its Config, as the rows have it now.
type Source struct {
	mail  *schema.Mail
	table *setting.Table
}

// New returns the Source over mail.sqlite.
func New(mail *schema.Mail) (*Source, error) {
	t, err := Table()
	if err != nil {
		return nil, err
	}
	return &Source{mail: mail, table: t}, nil
}

// Table returns every parameter that some part of the server acts on.
func Table() (*setting.Table, error) { return setting.NewTable(parts()...) }

// Of returns the function by which a part obtains its Config at each command.
// The struct is shared by all callers until a row changes: do not change it.
func Of[T any](s *Source) func(context.Context) (*T, error) {
	p := &part[T]{s: s}
	return p.get
}

// part remembers the Config of one part for one generation of rows.
type part[T any] struct {
	s *Source

	mu  sync.Mutex // guards what follows
	gen int64
	val *T
	err error
}

func (p *part[T]) get(ctx context.Context) (*T, error) {
	v, err := p.s.mail.View(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gen == v.Generation() && (p.val != nil || p.err != nil) {
		return p.val, p.err
	}
	rows, err := v.Settings(ctx)
	if err != nil {
		return nil, err // not remembered: the file may be readable again
	}
	p.gen = v.Generation()
	p.val, p.err = fill[T](p.s.table, rows)
	return p.val, p.err
}

// Filled is the Config of a part from rows that need not be written yet;
// ErrInvalid.
func Filled[T any](s *Source, rows map[string]string) (*T, error) { return fill[T](s.table, rows) }

func fill[T any](t *setting.Table, rows map[string]string) (*T, error) {
	val := new(T)
	if err := t.Fill(val, rows); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if v, ok := any(val).(validator); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return val, nil
}

// Fault is a row of Setting that the server cannot act on.
type Fault struct {
	Name   string
	Reason string
}

func (f Fault) String() string { return f.Name + ": " + f.Reason }

// Faults returns the rows that name no parameter, or have a value that the
// parameter cannot have.
func (s *Source) Faults(ctx context.Context) ([]Fault, error) {
	rows, err := s.Rows(ctx)
	if err != nil {
		return nil, err
	}
	return Faults(s.table, rows), nil
}

// Faults checks rows of Setting before or after they are written.
func Faults(t *setting.Table, rows map[string]string) []Fault {
	var list []Fault
	for _, name := range t.Unknown(rows) {
		list = append(list, Fault{name, "this server has no such setting"})
	}
	for _, c := range parts() {
		dst := reflect.New(reflect.TypeOf(c))
		err := t.Fill(dst.Interface(), rows)
		if v, ok := dst.Interface().(validator); ok && err == nil {
			err = v.Validate()
		}
		if err != nil {
			list = appendFault(list, err)
		}
	}
	return list
}

// validator is a Config that knows more about its values than their tags say.
// The error begins as one of setting.Fill: "setting NAME: ".
type validator interface{ Validate() error }

// appendFault adds an error of setting.Fill, once: several parts may share a
// parameter.
func appendFault(list []Fault, err error) []Fault {
	f := Fault{Reason: err.Error()}
	if rest, ok := strings.CutPrefix(err.Error(), "setting "); ok {
		f.Name, f.Reason, _ = strings.Cut(rest, ": ")
	}
	for _, old := range list {
		if old == f {
			return list
		}
	}
	return append(list, f)
}

// Rows returns the rows of Setting, names in lower case.
func (s *Source) Rows(ctx context.Context) (map[string]string, error) {
	v, err := s.mail.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Settings(ctx)
}

// Fields returns all parameters by name.
func (s *Source) Fields() []setting.Field { return s.table.Fields() }

// Value returns a parameter as the server sees it, references expanded; ok is
// false when there is none of that name.
func (s *Source) Value(ctx context.Context, name string) (value string, ok bool, err error) {
	rows, err := s.Rows(ctx)
	if err != nil {
		return "", false, err
	}
	return s.table.Value(strings.ToLower(name), rows)
}
