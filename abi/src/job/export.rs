//! Disks behind servers.

use serde::{Deserialize, Serialize};

use crate::text::ImageText;

/// An export of a server that speaks NBD. The slot beside it is the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name there; empty: the one that the server gives who names none.
    pub name: ImageText,
}
