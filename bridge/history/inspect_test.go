package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInspectFindsADamagedBlock(t *testing.T) {
	dir, ends := written(t, 5)
	if found, err := Inspect(ctx(), dir, false); err != nil || found.Places > 0 || found.Blocks != 5 || found.Bytes != ends[4] {
		t.Fatalf("%+v, %v", found, err)
	}
	path := segmentFiles(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(text []byte, runs bool, blocks int, said string) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := Inspect(ctx(), dir, runs)
		if err != nil || found.Blocks != blocks || (found.Places == 0) != (said == "") || found.Places > 0 && !strings.Contains(found.Damage[0].Error(), said) {
			t.Errorf("%+v, %v, want %d blocks and %q", found, err, blocks, said)
		}
	}
	flipped := func(at int64) []byte {
		text := append([]byte(nil), whole...)
		text[at] ^= 4
		return text
	}
	try(flipped(ends[1]+headerBytes+3), false, 4, "the checksum of a block is wrong")
	try(flipped(ends[1]+headerBytes+3), true, 4, "the checksum of a block is wrong")
	try(flipped(ends[1]+3), false, 2, "the header of a block is damaged")
	try(whole[:ends[4]-1], false, 4, "the file ends within a block")
	try(whole[:ends[4]-1], true, 4, "") // it is being written
	if found, err := Inspect(ctx(), filepath.Join(dir, "none"), false); err != nil || found.Blocks+found.Places > 0 {
		t.Errorf("where there is none: %+v, %v", found, err)
	}
}
