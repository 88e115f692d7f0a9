//go:build race

package ciba_test

// slowdown divides the tries of tests that the race detector makes slow.
const slowdown = 10
