package blobs

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	// tempPrefix begins the name of a file that is being written.
	tempPrefix = ".put-"

	// idName is the object that holds the store's id.
	idName = ".drakkar-store"

	// longestName is how long one name of a path gets: file systems end at 255.
	longestName = 180

	// continued begins a name which goes on with the one before it, and
	// emptyName stands for an empty one. Escapes never look like this.
	continued = "%-"
	emptyName = "%"
)

// objectName is the checksum of an object's content and what tells it from
// others of the same content.
var objectName = regexp.MustCompile(`^([0-9a-f]{64})-[0-9a-f]{16}$`)

// newRef is a new name for data below a prefix.
func newRef(dir string, data []byte) string { return path.Join(dir, checksum(data)+"-"+token()) }

// parseRef returns the checksum that a reference holds.
func parseRef(ref string) (sum string, err error) {
	m := objectName.FindStringSubmatch(path.Base(ref))
	if m == nil || !filepath.IsLocal(ref) || path.Clean(ref) != ref {
		return "", fmt.Errorf("%q is not the reference of a blob: %w", ref, ErrNotFound)
	}
	return m[1], nil
}

// directory is the prefix as a path that stays in the store: what is not a
// letter, a digit or one of ._- in it is written as %XX, and so is a dot at the
// beginning of a name. Names that are too long go on in a directory below.
func directory(prefix string) string {
	if prefix == "" {
		return "."
	}
	var names []string
	for name := range strings.SplitSeq(prefix, "/") {
		names = append(names, fileNames(name)...)
	}
	return path.Join(names...)
}

// prefixOf is the inverse of directory. It reports false for a directory that
// no prefix has.
func prefixOf(dir string) (prefix string, ok bool) {
	if dir == "." {
		return "", true
	}
	escaped := strings.ReplaceAll(dir, "/"+continued, "")
	var names []string
	for name := range strings.SplitSeq(escaped, "/") {
		if name == emptyName {
			name = ""
		}
		plain, err := url.PathUnescape(name)
		if err != nil {
			return "", false
		}
		names = append(names, plain)
	}
	prefix = strings.Join(names, "/")
	return prefix, directory(prefix) == dir
}

func fileNames(name string) []string {
	if name == "" {
		return []string{emptyName}
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if plain || c == '.' && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	rest := b.String()
	var out []string
	for mark := ""; rest != ""; mark = continued {
		n := min(len(rest), longestName)
		out = append(out, mark+rest[:n])
		rest = rest[n:]
	}
	return out
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// token is what nobody else comes up with.
func token() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// newID is the id of a new store.
func newID() []byte { return []byte(token() + token() + "\n") }

var idFormat = regexp.MustCompile(`^[0-9a-f]{32}\n$`)

// parseID checks what a store's id object holds.
func parseID(data []byte) (string, error) {
	if !idFormat.Match(data) {
		return "", fmt.Errorf("%s does not hold the id of a store: remove it when nothing uses the store", idName)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}
