//! What speaks against compacting an image: 0x0b40 to 0x0b5f.

super::faults! {
    /// Another format than qcow2. Text: its name.
    UNSUPPORTED = 0x0b40, "Format driver '{text}' does not support compacting; only qcow2 images can be compacted";
    /// Something is wrong with the image. Number 0: how many errors.
    UNSOUND = 0x0b41, "the image has errors ({0} found), and what is moved must be known to be right; 'check' lists them, 'check -r all' repairs them";
    /// Data stands in a file of its own.
    DATA_FILE = 0x0b42, "the image keeps its data in another file, at fixed places; only images with data of their own can be compacted";
    /// Two things stand in the same cluster. Number 0: its offset.
    OVERLAP = 0x0b43, "the cluster at offset {0} is used by a table and by something else; nothing was changed";
    /// More tables than are held in memory. Numbers: found, limit.
    TABLES = 0x0b44, "the image has more tables than can be held in memory ({0}, limit {1}); convert it to a new image instead";
    /// Compressed clusters in a file with more clusters than are held in memory. Numbers: clusters, limit.
    CLUSTERS = 0x0b45, "the image has compressed clusters among more clusters than can be held in memory ({0}, limit {1}); convert it to a new image instead";
    /// More compressed data in a cluster than is held in memory. Numbers: offset of the cluster, limit.
    STREAMS = 0x0b46, "the cluster at offset {0} has more than {1} pieces of compressed data; convert the image to a new one instead";
}
