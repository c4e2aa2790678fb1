package auth

import (
	"crypto/subtle"
	"fmt"
	"strings"
)

// DES-based crypt(3): 25 rounds of DES over a block of zeros, with the
// password as key and an expansion that the salt has changed. crypto/des
// cannot change the expansion, so DES stands here, a bit a byte: one hash takes
// less than bcrypt's cheapest, and nobody makes new ones.

// Tables of FIPS 46-3. Positions count from 1.
var (
	desIP = [64]byte{58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
		57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7}
	desFP = [64]byte{40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
		36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25}
	desE = [48]byte{32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
		16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1}
	desP = [32]byte{16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
		2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25}
	desPC1 = [56]byte{57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4}
	desPC2 = [48]byte{14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32}
	desShifts = [16]int{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	desS      = [8][64]byte{
		{14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
			4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13},
		{15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
			0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9},
		{10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
			13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12},
		{7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
			10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14},
		{2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
			4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3},
		{12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
			9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13},
		{4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
			1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12},
		{13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
			7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11},
	}
)

// desCrypt returns the 13 letters of crypt(3). salt has two of its alphabet.
func desCrypt(password []byte, salt [2]byte) string {
	var key [64]byte
	for i, c := range password[:min(8, len(password))] {
		for j := range 7 {
			key[8*i+j] = c >> (6 - j) & 1
		}
	}
	expand := desE
	for i, letter := range salt {
		n := strings.IndexByte(cryptAlphabet, letter)
		for j := range 6 {
			if n>>j&1 == 1 {
				a, b := 6*i+j, 6*i+j+24
				expand[a], expand[b] = expand[b], expand[a]
			}
		}
	}
	keys := desKeys(&key)
	var block [66]byte // 64 and what fills the last letter
	for range 25 {
		desRounds((*[64]byte)(block[:64]), &keys, &expand)
	}
	out := []byte{salt[0], salt[1]}
	for i := 0; i < len(block); i += 6 {
		n := 0
		for _, bit := range block[i : i+6] {
			n = n<<1 | int(bit)
		}
		out = append(out, cryptAlphabet[n])
	}
	return string(out)
}

// desKeys makes the keys of the 16 rounds.
func desKeys(key *[64]byte) (keys [16][48]byte) {
	var cd [56]byte
	for i, from := range desPC1 {
		cd[i] = key[from-1]
	}
	for round, shift := range desShifts {
		var next [56]byte
		for i := range 28 {
			next[i] = cd[(i+shift)%28]
			next[28+i] = cd[28+(i+shift)%28]
		}
		cd = next
		for i, from := range desPC2 {
			keys[round][i] = cd[from-1]
		}
	}
	return keys
}

func desRounds(block *[64]byte, keys *[16][48]byte, expand *[48]byte) {
	var left, right [32]byte
	for i, from := range desIP[:32] {
		left[i] = block[from-1]
		right[i] = block[desIP[32+i]-1]
	}
	for round := range keys {
		var s [32]byte
		for box := range desS {
			n := 0
			for _, i := range [6]int{0, 5, 1, 2, 3, 4} { // the outer bits choose the row
				at := 6*box + i
				n = n<<1 | int(right[expand[at]-1]^keys[round][at])
			}
			v := desS[box][n]
			s[4*box], s[4*box+1], s[4*box+2], s[4*box+3] = v>>3, v>>2&1, v>>1&1, v&1
		}
		next := left
		for i, from := range desP {
			next[i] ^= s[from-1]
		}
		left, right = right, next
	}
	for i, from := range desFP {
		if from <= 32 {
			block[i] = right[from-1] // the halves change places at the end
		} else {
			block[i] = left[from-33]
		}
	}
}

// readDESCrypt reads two letters of salt and eleven of hash.
func readDESCrypt(stored []byte) (*hashed, error) {
	if len(stored) != 13 || strings.Trim(string(stored), cryptAlphabet) != "" {
		return nil, fmt.Errorf("%w: not 13 letters of DES crypt", ErrHash)
	}
	salt := [2]byte(stored[:2])
	return &hashed{slow: true, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare([]byte(desCrypt(password, salt)), stored) == 1
	}}, nil
}
