package keys

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSignatureInDER holds against encoding/asn1 at the edges of INTEGER: a
// zero, leading zeros, the highest bit.
func TestSignatureInDER(t *testing.T) {
	t.Parallel()
	number := func(zeros int, first byte) []byte {
		n := bytes.Repeat([]byte{0x5a}, signatureLen/2)
		clear(n[:zeros])
		if zeros < len(n) {
			n[zeros] = first
		}
		return n
	}
	var numbers [][]byte
	for _, zeros := range []int{0, 1, 2, 15, 30, 31, 32} {
		for _, first := range []byte{0x01, 0x7f, 0x80, 0xff} {
			numbers = append(numbers, number(zeros, first))
		}
	}
	for _, r := range numbers {
		for _, s := range numbers {
			want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, inDER(append(bytes.Clone(r), s...))); diff != "" {
				t.Errorf("r %x s %x (-want +got):\n%s", r, s, diff)
			}
		}
	}
}
