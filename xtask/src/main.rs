//! Checks that the project keeps its own rules.

fn main() {}
