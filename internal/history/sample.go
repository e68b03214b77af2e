package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// A sample is encoded as the figures in the order of their names, each as a varint, after the name
// of a schema, which has the names.

// schemaName is the length of the name of a schema.
const schemaName = 8

// maxFigures bounds the figures of a sample that is read.
const maxFigures = 1000

// encode returns a sample, and the schema by which it is decoded. The same names make the same
// schema.
func encode(figures map[string]uint64) (sample []byte, name, schema string) {
	names := slices.Sorted(maps.Keys(figures))
	schema = strings.Join(names, "\n")
	sum := sha256.Sum256([]byte(schema))
	name = hex.EncodeToString(sum[:])[:schemaName]
	sample = append(sample, name...)
	for _, figure := range names {
		sample = binary.AppendUvarint(sample, figures[figure])
	}
	return sample, name, schema
}

// parseSchema returns the names of a schema; nil if it is not one.
func parseSchema(schema string) []string {
	names := strings.Split(schema, "\n")
	if len(names) > maxFigures {
		return nil
	}
	for _, name := range names {
		if len(name) < 3 || name[1] != ' ' {
			return nil
		}
	}
	return names
}

// decode returns the n figures of a sample, without the name of its schema; ok is false if it does
// not have as many.
func decode(sample string, n int) (figures []uint64, ok bool) {
	data := []byte(sample)
	figures = make([]uint64, n)
	for i := range figures {
		value, size := binary.Uvarint(data)
		if size <= 0 {
			return nil, false
		}
		figures[i], data = value, data[size:]
	}
	return figures, len(data) == 0
}
