package setting

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bounds holds a value to the tags of its field: min and max, in the words of
// the setting itself, of a number, size or time; values, the words that a text
// or each word of a list may be.
func bounds(v reflect.Value, tag reflect.StructTag) error {
	for _, side := range []struct {
		name, word string
		sign       int64
	}{{"min", "less", 1}, {"max", "more", -1}} {
		text, ok := tag.Lookup(side.name)
		if !ok {
			continue
		}
		limit, err := whole(v, text)
		if err != nil {
			return err
		}
		if side.sign*v.Int() < side.sign*limit {
			return fmt.Errorf("is %s than %s", side.word, text)
		}
	}
	text, ok := tag.Lookup("values")
	if !ok {
		return nil
	}
	allowed := strings.Fields(text)
	for _, word := range words(v) {
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, word) }) {
			return fmt.Errorf("%q is none of %s", word, strings.Join(allowed, ", "))
		}
	}
	return nil
}

func whole(v reflect.Value, text string) (int64, error) {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := Duration(text)
		return int64(d), err
	case int64:
		return Bytes(text)
	}
	return strconv.ParseInt(text, 10, 64)
}

func words(v reflect.Value) []string {
	if list, ok := v.Interface().([]string); ok {
		return list
	}
	return []string{v.String()}
}
