// Package pb is the schema of the binary dialect and the code that protoc makes of it.
package pb

//go:generate ../../../scripts/protobuf
