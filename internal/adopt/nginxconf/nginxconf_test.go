package nginxconf

import "testing"

func Fuzz(f *testing.F) {
	f.Add([]byte("http { a \"b\\\\\"c\" ${d} ; e { f; } x_by_lua_block { { } } }"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}
