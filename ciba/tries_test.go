//go:build !race

package ciba_test

const slowdown = 1
