//! Loads the guest and runs its lanes, under KVM or in a confined process.
