//! One case: its sides are set up and checked, then blocks of slices are run.

mod block;
mod earlier;
mod lost;

use std::collections::BTreeMap;

pub(super) use self::{block::TURN_S, earlier::same_case};
use self::{
    block::block,
    earlier::set_up_then,
    lost::{goes_with, lose, miss},
};
use super::{Profile, Progress, Stop, Workers, counts};
use crate::{
    ArmOf, Block, Measured, Orders, Role, SideInfo,
    worker::{ArmState, CaseInfo, Length, SetUp, WorkerError, WorkerProcess},
};

/// What is looked at.
#[derive(Clone, Debug)]
pub struct LookAt {
    /// The places of the sides in [`Measured`] that are set up; an earlier revision is always.
    pub sides: Vec<usize>,
    /// How long a slice is.
    pub length: Length,
    /// Whether it is left whole.
    pub is_whole: bool,
    /// How many blocks.
    pub blocks: usize,
    /// 1 for the first look, 2 for the second.
    pub stage: u8,
    /// The longest warm-up of an arm, in seconds.
    pub warm_up_s: f64,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Looked {
    /// With all its blocks, or with a side that says why it has none.
    Done,
    /// Early, because that was asked for.
    Stopped,
}

/// An arm, and who runs it.
#[derive(Clone, Copy, Debug)]
struct Placed {
    /// As [`Measured`] calls it.
    of: ArmOf,
    /// As its worker calls it.
    theirs: ArmOf,
    is_then: bool,
    /// Whether it is an outside program.
    is_peer: bool,
}

impl Measured {
    /// A case of which nothing is known but its sides: those at `sides`, and an earlier revision's
    /// subject last, if there is one.
    pub fn begin(case: &CaseInfo, sides: &[usize], against: Option<&str>) -> Measured {
        let chosen = sides.iter().filter_map(|place| case.sides.get(*place));
        let baseline = against.map(|revision| SideInfo {
            name: case.sides[0].name.clone(),
            version: revision.to_owned(),
            role: Role::Baseline,
            missing: None,
            counts: BTreeMap::new(),
        });
        Measured {
            name: case.name.clone(),
            about: case.about.clone(),
            settings: case.settings.clone(),
            processes: case.processes.clone(),
            targets: case.targets.clone(),
            sides: chosen.cloned().chain(baseline).collect(),
            blocks: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl LookAt {
    /// The whole of what a profile measures of a case.
    pub fn first(profile: &Profile, case: &CaseInfo, iterations: Option<u64>) -> LookAt {
        LookAt {
            sides: profile.sides(case),
            length: profile.length(case, iterations),
            is_whole: case.is_whole,
            blocks: profile.blocks,
            stage: 1,
            warm_up_s: profile.warm_up_s,
        }
    }
}

/// Sets the sides of a case up, and adds blocks to `measured`, whose sides are `at.sides` of the
/// case's and the earlier revision.
///
/// # Errors
///
/// When no worker can be started. What the case fails with is told in its sides.
pub async fn look(
    workers: &mut Workers<'_>,
    at: &LookAt,
    measured: &mut Measured,
    orders: &mut Orders,
    progress: &Progress,
    stop: &Stop,
) -> Result<Looked, WorkerError> {
    let known = measured.sides.clone();
    let mut arms = set_up(workers, at, measured, orders).await?;
    check(workers, &mut arms, measured).await;
    let mut looked = Looked::Done;
    if stop.is_asked() {
        // What is not there now may only have been ended too early.
        measured.sides = known;
        looked = Looked::Stopped;
    }
    for done in 0..at.blocks {
        if looked == Looked::Stopped {
            break;
        }
        if measured.sides[0].missing.is_some() {
            progress.skip(at.blocks - done);
            break;
        }
        let ofs: Vec<ArmOf> = arms.iter().map(|it| it.of).collect();
        let order = orders.block(&ofs);
        match block(workers, at, &arms, &order, stop).await {
            Ok(Some(slices)) => measured.blocks.push(Block {
                stage: at.stage,
                slices,
            }),
            Ok(None) => {
                looked = Looked::Stopped;
                break;
            }
            // Its worker was ended for that, or ended with it: what is there is kept.
            Err(_) if stop.is_asked() => {
                looked = Looked::Stopped;
                break;
            }
            Err(broken) => lose(workers, measured, &mut arms, broken, at.stage),
        }
        progress.block();
    }
    for worker in present(workers) {
        // One that does not answer is found dead at its next use.
        drop(worker.tear_down().await);
    }
    Ok(looked)
}

fn present<'a>(workers: &'a mut Workers<'_>) -> impl Iterator<Item = &'a mut WorkerProcess> {
    let then = workers.then.as_mut().and_then(|it| it.process.as_mut());
    workers.now.process.as_mut().into_iter().chain(then)
}

async fn set_up(
    workers: &mut Workers<'_>,
    at: &LookAt,
    measured: &mut Measured,
    orders: &mut Orders,
) -> Result<Vec<Placed>, WorkerError> {
    let mut placed = Vec::new();
    let worker = workers.now.worker(orders).await?;
    let now = worker.set_up(request(at, measured, &at.sides)).await;
    let then = match &mut workers.then {
        None => None,
        Some(slot) => Some(set_up_then(slot, at, measured, orders).await?),
    };
    match now {
        Ok(states) => {
            for state in states {
                let of = measured_as(state.arm, &at.sides);
                place(&mut placed, measured, of, &state, false);
            }
        }
        Err(error) => {
            workers.now.note(&error);
            measured.sides[0].missing = Some(error.to_string());
        }
    }
    let last = measured.sides.len() - 1;
    match then {
        None => {}
        Some(Ok(states)) => {
            let subject = states.iter().filter(|it| it.arm == ArmOf::Side(0));
            for state in subject {
                place(&mut placed, measured, ArmOf::Side(last), state, true);
            }
        }
        Some(Err(why)) => measured.sides[last].missing = Some(why),
    }
    Ok(placed)
}

fn request(at: &LookAt, measured: &Measured, sides: &[usize]) -> SetUp {
    SetUp {
        case: measured.name.clone(),
        sides: sides.to_vec(),
        again: true,
        warm_up_s: at.warm_up_s,
    }
}

/// A worker counts all sides of the case, [`Measured`] those that were chosen.
fn measured_as(theirs: ArmOf, sides: &[usize]) -> ArmOf {
    let place = |side| sides.iter().position(|it| *it == side).unwrap_or(0);
    match theirs {
        ArmOf::Side(side) => ArmOf::Side(place(side)),
        ArmOf::Again(side) => ArmOf::Again(place(side)),
    }
}

fn side(of: ArmOf) -> usize {
    match of {
        ArmOf::Side(side) | ArmOf::Again(side) => side,
    }
}

fn place(
    placed: &mut Vec<Placed>,
    measured: &mut Measured,
    of: ArmOf,
    state: &ArmState,
    is_then: bool,
) {
    match &state.fault {
        None => placed.push(Placed {
            of,
            theirs: state.arm,
            is_then,
            is_peer: measured.sides[side(of)].role == Role::Peer,
        }),
        Some(fault) => miss(measured, of, fault),
    }
}

/// Checks the answers, and reads the exact counts.
async fn check(workers: &mut Workers<'_>, arms: &mut Vec<Placed>, measured: &mut Measured) {
    for is_then in [false, true] {
        if !arms.iter().any(|it| it.is_then == is_then) {
            continue;
        }
        let slot = match (&mut workers.then, is_then) {
            (Some(then), true) => then,
            _ => &mut workers.now,
        };
        let Some(worker) = &mut slot.process else {
            continue;
        };
        let subject = measured.sides.len() - 1;
        match worker.check().await {
            Ok(states) => {
                let faults = states
                    .iter()
                    .filter_map(|it| Some((it.arm, it.fault.as_ref()?)));
                for (theirs, fault) in faults {
                    let is_it = |it: &Placed| it.is_then == is_then && it.theirs == theirs;
                    if let Some(place) = arms.iter().position(is_it) {
                        let of = arms[place].of;
                        arms.retain(|it| !goes_with(of, it.of));
                        miss(measured, of, fault);
                    }
                }
            }
            Err(error) => {
                slot.note(&error);
                let lost = if is_then { subject } else { 0 };
                measured.sides[lost].missing = Some(error.to_string());
                arms.retain(|it| it.is_then != is_then);
                continue;
            }
        }
        match worker.counts().await {
            Ok(counted) => {
                for (theirs, counted) in counted {
                    let is_it = |it: &&Placed| it.is_then == is_then && it.theirs == theirs;
                    if let Some(ArmOf::Side(side)) = arms.iter().find(is_it).map(|it| it.of) {
                        counts::keep(measured, side, counted);
                    }
                }
            }
            Err(error) => {
                let text = format!("nothing was counted exactly: {error}");
                counts::note(measured, text);
            }
        }
    }
}
