//! A case that is set up: its arms, and how one of them is run.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ArmCounts, ArmState, SetUp, StatedFault,
    serve::{Allocated, within},
};
use crate::{
    Arm, ArmOf, Budget, Case, Fault, Process, Role, Slice, Tally,
    cpu::{Clocks, Servers, Tree, TreeReading},
    host::{Moment, Processors},
    stats::steady_from,
};

/// What setting one side up may take.
const SET_UP: Duration = Duration::from_secs(120);
const CHECK: Duration = Duration::from_secs(60);
/// What a slice may take beyond its budget, for the operations under way.
const OVERTIME: Duration = Duration::from_secs(60);
const OPERATIONS: Duration = Duration::from_secs(590);
/// What warm-up looks at: the cost of an operation in bins of this length.
const BIN: Duration = Duration::from_millis(50);
const FEWEST_BINS: usize = 10;
/// Operations over which allocations are counted, and a time that they may not exceed.
const COUNTED: u64 = 200;

/// What is run before a slice and not measured, as a share of it.
const LEAD_IN: f64 = 0.2;
const LONGEST_LEAD_IN: Duration = Duration::from_millis(10);
/// So many operations fit into it, or there is none: a long one has its caches by itself.
const MANY: u32 = 10;

/// The arms of a case, in the order of its sides.
pub(super) struct Ready {
    arms: Vec<ReadyArm>,
    servers: Servers,
    /// The processes that the case counts.
    judged: Vec<Process>,
    /// Of which all arms have the same one in a turn, where each computes on one thread.
    processors: Option<Processors>,
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(processors) = &self.processors {
            // Nothing but the speed of the next case depends on it.
            drop(processors.free(std::process::id()));
        }
    }
}

struct ReadyArm {
    of: ArmOf,
    arm: Box<dyn Arm>,
    is_own_process: bool,
    /// What an operation took in the last slice.
    per_operation: Option<Duration>,
    /// What the reader of its first slice has to know.
    note: Option<String>,
}

impl Ready {
    /// Sets the sides up, one after the other.
    pub(super) async fn set_up<E: Send + Sync + 'static>(
        case: &Case<E>,
        env: &Arc<E>,
        servers: Servers,
        set_up: &SetUp,
    ) -> (Ready, Vec<ArmState>) {
        // Also those that the case does not count: what they use is not other programs' time.
        let mut ready = Ready {
            arms: Vec::new(),
            servers,
            judged: case.processes().to_vec(),
            processors: match case.is_on_one_thread() {
                true => Processors::of_this_process(),
                false => None,
            },
        };
        let mut states = Vec::new();
        let warm_up = Duration::try_from_secs_f64(set_up.warm_up_s).unwrap_or_default();
        for side in &set_up.sides {
            let of = ArmOf::Side(*side);
            states.push(ready.add(case, env, of, warm_up).await);
        }
        if let Some(of) = ready.again(case, set_up) {
            states.push(ready.add(case, env, of, warm_up).await);
        }
        (ready, states)
    }

    /// Which arm is there twice: the first control, or the subject where the case has none, or the
    /// control is missing.
    fn again<E: 'static>(&self, case: &Case<E>, set_up: &SetUp) -> Option<ArmOf> {
        if !set_up.again {
            return None;
        }
        let is_there = |of| self.arms.iter().any(|it| it.of == of);
        let is_control = |side: &usize| case.sides()[*side].role() == Role::Control;
        let control = set_up.sides.iter().copied().find(is_control);
        control
            .filter(|it| is_there(ArmOf::Side(*it)))
            .or_else(|| is_there(ArmOf::Side(0)).then_some(0))
            .map(ArmOf::Again)
    }

    async fn add<E: Send + Sync + 'static>(
        &mut self,
        case: &Case<E>,
        env: &Arc<E>,
        of: ArmOf,
        warm_up: Duration,
    ) -> ArmState {
        let (ArmOf::Side(place) | ArmOf::Again(place)) = of;
        let side = &case.sides()[place];
        let fault = match prepare(side, env, of, warm_up).await {
            Ok(arm) => {
                self.arms.push(arm);
                None
            }
            Err(fault) => Some(StatedFault::from(&fault)),
        };
        ArmState { arm: of, fault }
    }

    /// Lets each arm do its operation once and compares the answer in full.
    pub(super) async fn check(&mut self) -> Vec<ArmState> {
        let mut states = Vec::new();
        for ready in &mut self.arms {
            let checked = within(CHECK, "check", ready.arm.check()).await;
            states.push(ArmState {
                arm: ready.of,
                fault: checked.err().as_ref().map(StatedFault::from),
            });
        }
        states
    }

    /// Runs one arm, with all clocks around it.
    pub(super) async fn slice(
        &mut self,
        of: ArmOf,
        budget: Budget,
        turn: usize,
    ) -> Result<Slice, Fault> {
        let place = self.place(of)?;
        if let Some(processors) = &self.processors {
            let kept = processors.keep(std::process::id(), turn);
            kept.map_err(Fault::failed)?;
        }
        let others = self.others(place);
        let ready = &mut self.arms[place];
        let lead_in = ready.lead_in(budget).await?;
        within(CHECK, "before", ready.arm.before()).await?;
        let others_before = read_all(&others)?;
        let clocks = Clocks::new(self.servers, &ready.arm.pids()).judging(&self.judged);
        let moment = Moment::now();
        let before = clocks.before().map_err(Fault::failed)?;
        let started = Instant::now();
        let tally = within(limit(budget), "run", ready.arm.run(budget)).await?;
        let wall = started.elapsed();
        let used = clocks.since(&before).map_err(Fault::failed)?;
        let disturbance = moment.until(&Moment::now());
        ready.per_operation = per_operation(wall, tally.operations);
        let mut slice = Slice::new(&tally, wall, used.cpu_s);
        slice.wrong += lead_in.wrong;
        for (error, n) in lead_in.errors {
            *slice.errors.entry(error).or_default() += n;
        }
        if let Some(client_cpu_s) = tally.client_cpu_s {
            let client = Process::Client.word().to_owned();
            slice.cpu_s.insert(client, client_cpu_s);
        }
        slice.flags = used.flags;
        slice.flags.extend(ready.note.take());
        slice.beside = disturbance.beside;
        let others_after = read_all(&others)?;
        within(CHECK, "after", ready.arm.after()).await?;
        let others = others_after.iter().zip(&others_before);
        slice.beside.idle_s = others.map(|(after, before)| after.since(before)).sum();
        Ok(slice)
    }

    /// What each arm counts exactly, and what it allocates, if there is a counting allocator. Of an
    /// arm with processes of its own, the allocations of this one are those of a client.
    pub(super) async fn counts(
        &mut self,
        allocated: Option<fn() -> Allocated>,
    ) -> Vec<(ArmOf, ArmCounts)> {
        let mut all = Vec::new();
        for ready in &mut self.arms {
            let counted = within(CHECK, "counts", ready.arm.counts()).await;
            all.push((ready.of, ArmCounts::from(counted)));
            let is_here = ready.is_own_process && ready.arm.pids().is_empty();
            if let Some(allocated) = allocated.filter(|_| is_here) {
                let counted = allocations(&mut *ready.arm, allocated).await;
                all.push((ready.of, ArmCounts::from(counted)));
            }
        }
        all
    }

    fn place(&self, of: ArmOf) -> Result<usize, Fault> {
        self.arms
            .iter()
            .position(|it| it.of == of)
            .ok_or_else(|| Fault::Failed(format!("{of:?} is not set up")))
    }

    /// The processes of all arms but one, which have to be idle meanwhile.
    fn others(&self, place: usize) -> Vec<Tree> {
        let mine = self.arms[place].arm.pids();
        self.arms
            .iter()
            .flat_map(|it| it.arm.pids())
            .filter(|pid| !mine.contains(pid))
            .map(|(_, pid)| Tree::new(pid))
            .collect()
    }
}

impl ReadyArm {
    /// Brings an arm back into the caches, where others have been meanwhile: the first milliseconds
    /// are dearer than all others, and dearer still for whom nobody like it ran before. Answers what
    /// went wrong.
    async fn lead_in(&mut self, budget: Budget) -> Result<Tally, Fault> {
        let Budget::For(time) = budget else {
            return Ok(Tally::default());
        };
        let lead_in = Budget::For(time.mul_f64(LEAD_IN).min(LONGEST_LEAD_IN));
        let is_short = |it: Duration| it.saturating_mul(MANY) < lead_in.limits().0;
        if !self.is_own_process || !self.per_operation.is_some_and(is_short) {
            return Ok(Tally::default());
        }
        within(CHECK, "before", self.arm.before()).await?;
        let tally = within(limit(lead_in), "lead-in", self.arm.run(lead_in)).await?;
        within(CHECK, "after", self.arm.after()).await?;
        Ok(tally)
    }
}

fn per_operation(wall: Duration, operations: u64) -> Option<Duration> {
    let operations = u32::try_from(operations).ok().filter(|it| *it > 0)?;
    Some(wall / operations)
}

/// Sets one side up and warms it.
async fn prepare<E: Send + Sync + 'static>(
    side: &crate::Side<E>,
    env: &Arc<E>,
    of: ArmOf,
    warm_up: Duration,
) -> Result<ReadyArm, Fault> {
    let mut arm = within(SET_UP, "set_up", side.set_up(Arc::clone(env))).await?;
    // An outside program starts anew for each slice, and warms itself up.
    let is_own_process = side.role() != Role::Peer;
    let is_steady = !is_own_process || warm_up.is_zero() || warmed_up(&mut *arm, warm_up).await?;
    Ok(ReadyArm {
        of,
        arm,
        is_own_process,
        per_operation: None,
        note: (!is_steady).then(|| "not_steady".to_owned()),
    })
}

fn read_all(trees: &[Tree]) -> Result<Vec<TreeReading>, Fault> {
    trees
        .iter()
        .map(|it| it.read().map_err(Fault::failed))
        .collect()
}

fn limit(budget: Budget) -> Duration {
    match budget {
        Budget::For(time) => time + OVERTIME,
        Budget::Operations(_) => OPERATIONS,
    }
}

/// Runs an arm until what an operation costs neither falls nor rises. Answers whether it came to
/// that within `longest`.
async fn warmed_up(arm: &mut dyn Arm, longest: Duration) -> Result<bool, Fault> {
    let started = Instant::now();
    let mut bins = Vec::new();
    while started.elapsed() < longest {
        within(CHECK, "before", arm.before()).await?;
        let bin = Instant::now();
        let tally = within(BIN + OVERTIME, "warm-up", arm.run(Budget::For(BIN))).await?;
        let spent = bin.elapsed();
        within(CHECK, "after", arm.after()).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
        let operations = tally.operations as f64;
        if tally.operations > 0 {
            bins.push(spent.as_secs_f64() / operations);
        }
        if bins.len() >= FEWEST_BINS && steady_from(&bins).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Allocations of an operation: twice as many operations less half of them, over that half, so that
/// what a run allocates once falls out.
async fn allocations(
    arm: &mut dyn Arm,
    allocated: fn() -> Allocated,
) -> Result<BTreeMap<String, f64>, Fault> {
    let mut spent = Vec::new();
    // The first run pays for what grows once.
    for operations in [COUNTED, COUNTED, 2 * COUNTED] {
        within(CHECK, "before", arm.before()).await?;
        let before = allocated();
        let budget = Budget::Operations(operations);
        let tally = within(OPERATIONS, "counts", arm.run(budget)).await?;
        let after = allocated();
        within(CHECK, "after", arm.after()).await?;
        spent.push((
            tally.operations,
            after.count - before.count,
            after.bytes - before.bytes,
        ));
    }
    let (once, twice) = (spent[1], spent[2]);
    let operations = twice.0.saturating_sub(once.0);
    if operations == 0 {
        return Ok(BTreeMap::new());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a few operations")]
    let per_op = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / operations as f64;
    Ok(BTreeMap::from([
        ("allocations_per_op".to_owned(), per_op(once.1, twice.1)),
        ("allocated_bytes_per_op".to_owned(), per_op(once.2, twice.2)),
    ]))
}
