//! Serves the guest's requests on open files.
