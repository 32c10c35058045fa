"""The ledger: what ran, what it drew, what that emitted and cost, and every decision with its reason."""
