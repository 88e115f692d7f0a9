//go:build race

package audit_test

// mutations is smaller under the race detector, which makes each try dear.
const mutations = 100
