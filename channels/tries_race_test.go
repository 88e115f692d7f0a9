//go:build race

package channels_test

// slowdown divides the tries of tests that the race detector makes slow.
const slowdown = 5
