# One target for each kind of test. All but `test` take minutes.

.PHONY: test race e2e faults fuzz lint mutants

FUZZTIME ?= 30s

# Everything that needs Go and nothing else.
test:
	go test ./...

race:
	go test -race -timeout 20m ./...

# Browsers, real clients, power cuts: see .ci/run for what must be installed.
e2e:
	go test -tags e2e -count=1 -timeout 60m ./...

# What breaks under the service: disks, clocks, processes, servers.
faults:
	go run ./deploy/faults

fuzz:
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

lint:
	.ci/run lint

# Changes of the code, each of which some test must notice.
mutants:
	go run ./deploy/mutants
