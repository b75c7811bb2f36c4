//! One file a verb, and the one copier.
