// Mutants changes the code, one small change at a time, and runs the tests that
// should notice. What the tests promise is thereby tested as well: a change that
// none of them notices is a promise that nobody keeps.
//
//	go run ./deploy/mutants                # all of them, some 40 minutes on two cores
//	go run ./deploy/mutants -run digest    # those whose name matches
//	go run ./deploy/mutants -sample 6      # six, other ones for every commit
//	go run ./deploy/mutants -list          # their names
//
// The changes are in list/, one file for each room. A block is one of them:
//
//	=== what is changed, in words
//	file consent/decide.go
//	test ./consent ./store
//	run  TestDecide|TestGolden
//	--- old
//	text that the file has exactly once
//	--- new
//	what stands there instead
//
// "test" names the packages, separated by spaces; "run" may be left out. Lines
// that begin with # outside of the texts are remarks. The file itself is never
// written to: the go command reads the changed one through -overlay.
//
// The exit status is 0 only if every change applies, builds, and is noticed by
// tests that pass without it.
package main
