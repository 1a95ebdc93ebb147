package object

import "strings"

// maxETags bounds a list: each is compared at the commit.
const maxETags = 64

// etag is one entity tag; opaque has its quotes.
type etag struct {
	opaque string
	weak   bool
}

// etagList is the value of If-Match or If-None-Match.
type etagList struct {
	any  bool
	tags []etag
}

func (l etagList) given() bool { return l.any || len(l.tags) > 0 }

// hasStrong compares strongly: weak tags match nothing.
func (l etagList) hasStrong(tag string) bool {
	if l.any {
		return true
	}
	for _, t := range l.tags {
		if !t.weak && t.opaque == tag {
			return true
		}
	}
	return false
}

// hasWeak compares weakly: only the opaque parts count.
func (l etagList) hasWeak(tag string) bool {
	if l.any {
		return true
	}
	for _, t := range l.tags {
		if t.opaque == tag {
			return true
		}
	}
	return false
}

// etagError says what is wrong with a list of entity tags.
type etagError string

// Error implements error.
func (e etagError) Error() string { return string(e) }

const (
	errMalformedETag etagError = "it is `*` or a list of quoted entity tags"
	errTooManyETags  etagError = "it lists more than 64 entity tags"
)

// parseETags reads `*` or a list of entity tags (RFC 9110 §8.8.3, §5.6.1.2). A tag without quotes, as people type it,
// is taken for the quoted one. Empty text is an absent header.
func parseETags(text string) (etagList, error) {
	text = strings.Trim(text, " \t")
	if text == "*" {
		return etagList{any: true}, nil
	}
	var l etagList
	for rest := text; rest != ""; {
		t, after, ok := cutETag(rest)
		if !ok {
			return etagList{}, errMalformedETag
		}
		if t.opaque != "" { // Empty elements of a list are allowed and mean nothing.
			l.tags = append(l.tags, t)
		}
		if len(l.tags) > maxETags {
			return etagList{}, errTooManyETags
		}
		rest = after
	}
	if text != "" && len(l.tags) == 0 {
		return etagList{}, errMalformedETag
	}
	return l, nil
}

// cutETag takes the first element and its comma off a list.
func cutETag(list string) (t etag, rest string, ok bool) {
	list = strings.TrimLeft(list, " \t")
	list, t.weak = strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(list, `"`) {
		bare, rest, _ := strings.Cut(list, ",")
		bare = strings.TrimRight(bare, " \t")
		if t.weak || bare == "*" || strings.ContainsAny(bare, "\" \t") || !isETagText(bare) {
			return etag{}, "", false
		}
		if bare != "" {
			t.opaque = `"` + bare + `"`
		}
		return t, rest, true
	}
	end := strings.IndexByte(list[1:], '"') + 1
	if end == 0 || !isETagText(list[1:end]) {
		return etag{}, "", false
	}
	t.opaque = list[:end+1]
	gap, rest, _ := strings.Cut(list[end+1:], ",")
	return t, rest, strings.Trim(gap, " \t") == ""
}

// isETagText allows etagc of RFC 9110 without the bytes above ASCII, which no tag of ours has.
func isETagText(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
