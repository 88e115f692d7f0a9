//go:build !race

package approve_test

const slowdown = 1
