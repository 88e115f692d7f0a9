//go:build !race

package keys

// forgeries is how many forged handles the attackers' tests try.
const forgeries = 1_000_000
