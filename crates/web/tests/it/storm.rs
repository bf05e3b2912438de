//! Real clients on a real server.

mod foreign_decoders;
