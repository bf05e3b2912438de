//! Real clients on a real server.

mod cpu_overload;
mod foreign_decoders;
mod memory;
mod server;
