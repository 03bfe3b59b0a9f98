// Package strictyaml reads YAML and JSON files strictly: every value by a reader of its own, every mistake with its
// place in the file and what to do about it. It knows nothing of what the files are about.
package strictyaml
