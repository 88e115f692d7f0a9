//go:build race

package keys

// forgeries is smaller under the race detector, which makes each try dear.
const forgeries = 100_000
