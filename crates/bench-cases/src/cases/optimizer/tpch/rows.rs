//! The rows of a table, in blocks of the text format of `COPY`.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

use super::tables::Table;

const BLOCK_BYTES: usize = 256 * 1024;
/// More than a row takes.
const SLACK_BYTES: usize = 1024;
/// Blocks that wait for the server.
const AHEAD: usize = 8;

/// The rows of a table, made on a thread of its own, which ends when nobody takes them.
pub(super) fn blocks(table: &Table, scale: f64) -> Receiver<Bytes> {
    let (sender, receiver) = channel(AHEAD);
    let name = table.name;
    tokio::task::spawn_blocking(move || send(name, scale, &sender));
    receiver
}

fn send(table: &str, scale: f64, to: &Sender<Bytes>) {
    match table {
        "region" => send_rows(RegionGenerator::new(scale, 1, 1).iter(), to),
        "nation" => send_rows(NationGenerator::new(scale, 1, 1).iter(), to),
        "part" => send_rows(PartGenerator::new(scale, 1, 1).iter(), to),
        "supplier" => send_rows(SupplierGenerator::new(scale, 1, 1).iter(), to),
        "partsupp" => send_rows(PartSuppGenerator::new(scale, 1, 1).iter(), to),
        "customer" => send_rows(CustomerGenerator::new(scale, 1, 1).iter(), to),
        "orders" => send_rows(OrderGenerator::new(scale, 1, 1).iter(), to),
        "lineitem" => send_rows(LineItemGenerator::new(scale, 1, 1).iter(), to),
        _ => unreachable!("TPC-H has no table `{table}`"),
    }
}

fn send_rows<R: Display>(mut rows: impl Iterator<Item = R>, to: &Sender<Bytes>) {
    loop {
        let mut block = String::with_capacity(BLOCK_BYTES + SLACK_BYTES);
        while block.len() < BLOCK_BYTES {
            let Some(row) = rows.next() else { break };
            write!(block, "{row}").expect("a string takes all");
            // A delimiter ends each row, where the server expects it between two values alone.
            block.pop();
            block.push('\n');
        }
        if block.is_empty() || to.blocking_send(block.into()).is_err() {
            return;
        }
    }
}
