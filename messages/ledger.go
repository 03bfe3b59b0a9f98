package messages

// LedgerWorkflow is the ID of the workflow of type Ledger, one in each namespace, that records which ledger the
// namespace belongs to.
const LedgerWorkflow = "castellan-ledger"

// LedgerMemo is the field of its memo with the ledger's identity.
const LedgerMemo = "ledger"

// LedgerInput is the input of Ledger.
type LedgerInput struct {
	Ledger string `json:"ledger"` // the ledger's identity
}
