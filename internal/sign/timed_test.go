package sign

import (
	"os"
	"strings"
	"testing"
)

// TestSignatureWithATime: the signature covers the time, the channels and the body, each
// separately. It does not verify as a signature of a body, nor the reverse.
func TestSignatureWithATime(t *testing.T) {
	s, err := New("sha1", []byte("0123456789abcdef"), []byte("fedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	post := Post{1795226210, "list", []byte("body")}
	signature := s.SignPost(post)
	old, _ := New("sha1", []byte("fedcba9876543210"))
	for name, c := range map[string]struct {
		post      Post
		signature string
		want      bool
	}{
		"right":                {post, signature, true},
		"by the second key":    {post, old.SignPost(post), true},
		"another time":         {Post{1795226211, "list", []byte("body")}, signature, false},
		"another channel":      {Post{1795226210, "last", []byte("body")}, signature, false},
		"another body":         {Post{1795226210, "list", []byte("bode")}, signature, false},
		"moved to the body":    {Post{1795226210, "", []byte("list\nbody")}, signature, false},
		"of the body alone":    {post, s.SignBody(post.Body), false},
		"of the same as bytes": {post, s.SignBody([]byte("1795226210\nlist\nbody")), false},
		"upper case":           {post, strings.ToUpper(signature), false},
		"none":                 {post, "", false},
	} {
		if s.VerifyPost(c.post, c.signature) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
	whole := append(post.head(), post.Body...)
	if s.SignBody(whole) != signature {
		t.Fatal("the signed text is not what this test expects")
	}
	if s.VerifyBody(whole, signature) {
		t.Error("a signature with a time passes for one of a body")
	}
}

// TestWorkedTime compares the example in docs/protocol.md with what is signed.
func TestWorkedTime(t *testing.T) {
	s, err := New("sha1", []byte("pushgate-example-key-do-not-use-0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	got := s.SignPost(Post{1795226210, "0f9e8d7c6b5a49382716051423324150", []byte("hello")})
	if !strings.Contains(string(page), "SHA1(stdin)= "+got+"\n") {
		t.Errorf("docs/protocol.md does not have %s", got)
	}
}
