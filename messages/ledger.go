package messages

// LedgerWorkflow is the id of the workflow of type Ledger, one in a namespace, that says which ledger the namespace
// belongs to.
const LedgerWorkflow = "castellan-ledger"

// LedgerMemo is the field of its memo that says so.
const LedgerMemo = "ledger"

// LedgerInput is the input of Ledger.
type LedgerInput struct {
	Ledger string `json:"ledger"` // the ledger's identity
}
