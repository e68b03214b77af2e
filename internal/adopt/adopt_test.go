package adopt

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden plans")

// installations are those below testdata, with the file of their portal's options if they have one.
var installations = []string{
	"env-docker", "bitrixdock", "matveynator", "ikarpovich", "rmn-lux", "awwehdev", "bitrixvm7", "bitrixvm9", "several-machines", "helm",
}

// options returns the file of a portal's options.
func options(root string) string {
	for _, name := range []string{"options.tsv", "options.sql"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			return filepath.Join(root, name)
		}
	}
	return ""
}

// TestPlans compares the plan of each installation with the one that was read by a person.
func TestPlans(t *testing.T) {
	for _, name := range installations {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join("testdata", name)
			var got bytes.Buffer
			if err := Run(t.Context(), Options{Root: root, OptionsFile: options(root), Random: &counter{}}, &got); err != nil {
				t.Fatalf("%v\n%s", err, got.Bytes())
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("the plan is not that of %s (-update writes it):\n%s", golden, got.Bytes())
			}
		})
	}
}
