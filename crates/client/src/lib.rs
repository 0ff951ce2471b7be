//! The D-DDES client library: sessions over tokio sockets.

pub mod classic;
