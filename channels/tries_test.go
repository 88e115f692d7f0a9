//go:build !race

package channels_test

const slowdown = 1
