//go:build !race

package audit_test

// mutations is how many changed exports Verify has to refuse.
const mutations = 1000
