package message

const maxCachedName = 32

func isCachedField(lower string) bool { return false }

func (b *builder) keepField(n, v string) {}
