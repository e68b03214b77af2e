package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// variable is one field of a program's struct, as docs/configuration.md shows it.
type variable struct {
	name, doc string
	programs  []string
	fallbacks []string // one for each program
}

// fallback returns the default, or those of the programs if they differ.
func (v variable) fallback() string {
	if len(slices.Compact(slices.Clone(v.fallbacks))) == 1 {
		return v.fallbacks[0]
	}
	each := make([]string, len(v.programs))
	for i, program := range v.programs {
		each[i] = fmt.Sprintf("%s (%s)", v.fallbacks[i], program)
	}
	return strings.Join(each, ", ")
}

// programs returns the structs that declare variables, in the order of the table.
func programs() []struct {
	name string
	typ  reflect.Type
} {
	return []struct {
		name string
		typ  reflect.Type
	}{{"edge", reflect.TypeFor[Edge]()}, {"publisher", reflect.TypeFor[Publisher]()}, {"serve", reflect.TypeFor[Serve]()}}
}

// variables returns the variables of all programs: those that all programs have first, then the
// others, each in the order of the structs. A variable with different defaults in two programs has
// both in its fallback.
func variables() []variable {
	var all []variable
	for _, program := range programs() {
		for _, field := range reflect.VisibleFields(program.typ) {
			name := field.Tag.Get("env")
			if name == "" || name == "-" {
				continue
			}
			fallback := "required"
			switch {
			case field.Tag.Get("default") != "":
				fallback = field.Tag.Get("default")
			case field.Tag.Get("envDefault") != "":
				fallback = "'" + field.Tag.Get("envDefault") + "'"
			}
			i := slices.IndexFunc(all, func(v variable) bool { return v.name == Prefix+name })
			if i < 0 {
				i = len(all)
				all = append(all, variable{name: Prefix + name, doc: field.Tag.Get("doc")})
			}
			all[i].programs = append(all[i].programs, program.name)
			all[i].fallbacks = append(all[i].fallbacks, fallback)
		}
	}
	slices.SortStableFunc(all, func(a, b variable) int { return len(b.programs) - len(a.programs) })
	return all
}

// Variable is one variable as a program knows it. Its texts are Markdown.
type Variable struct{ Name, Default, Meaning string }

// Variables returns what a program knows: "edge", "publisher" or "serve".
func Variables(program string) []Variable {
	var known []Variable
	for _, v := range variables() {
		if i := slices.Index(v.programs, program); i >= 0 {
			known = append(known, Variable{v.name, asCode.Replace(v.fallbacks[i]), asCode.Replace(v.doc)})
		}
	}
	return known
}

// asCode makes code of what is quoted.
var asCode = strings.NewReplacer("'", "`")

func names() []string {
	var names []string
	for _, v := range variables() {
		names = append(names, v.name)
	}
	return names
}

// The lines of a Markdown file before and after the table of [Markdown].
const (
	MarkdownBegin = "<!-- config -->"
	MarkdownEnd   = "<!-- /config -->"
)

// Markdown returns the table of all variables: name, default, the programs that use it, meaning.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | default | used by | meaning |\n| --- | --- | --- | --- |\n")
	cell := strings.NewReplacer("|", `\|`, "'", "`")
	for _, v := range variables() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.name, cell.Replace(v.fallback()), strings.Join(v.programs, ", "), cell.Replace(v.doc))
	}
	return b.String()
}
