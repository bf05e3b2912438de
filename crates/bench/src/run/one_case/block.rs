//! A block: every arm's slices, in turns.

use super::{LookAt, Placed};
use crate::{
    ArmOf, Slice,
    cpu::Tree,
    run::{Stop, Workers},
    worker::{Length, WorkerError},
};

/// The pieces of a slice, in seconds. The speed of a processor that others share drifts within a
/// second by more than what is looked for: whoever takes turns every few hundredths has the same
/// share of it as the others.
pub(in crate::run) const TURN_S: f64 = 0.04;

/// How a slice is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Turns {
    /// The length of one.
    length: Length,
    /// The most of them.
    most: usize,
    /// The seconds of one; zero where operations are counted.
    seconds: f64,
}

impl LookAt {
    fn turns(&self) -> Turns {
        let whole = Turns {
            length: self.length,
            most: 1,
            seconds: 0.0,
        };
        let seconds = match self.length {
            Length::Seconds(seconds) if !self.is_whole => seconds,
            _ => return whole,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a slice has seconds"
        )]
        let most = (seconds / TURN_S).round().max(1.0) as usize;
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let turn_s = seconds / most as f64;
        Turns {
            length: Length::Seconds(turn_s),
            most,
            seconds: turn_s,
        }
    }
}

impl Turns {
    /// Whether an arm that has had so much time is more than half a turn before those whose turn is
    /// this one, from 0.
    fn is_ahead(&self, turn: usize, had_s: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let due_s = turn as f64 * self.seconds;
        had_s >= due_s + self.seconds / 2.0
    }
}

/// A block that came to no end.
pub(super) struct Broken {
    /// Whose turn it was.
    pub(super) of: ArmOf,
    pub(super) error: WorkerError,
    /// What there was by then.
    pub(super) had: Vec<(ArmOf, Slice)>,
}

/// The slices of a block, or none if the run is to end.
///
/// A slice is made of turns, which go round in the block's order: what drifts meanwhile drifts for all
/// arms. One whose operations take longer than a turn sits out until the others have caught up. An
/// outside program has its time at once: it may have to start.
pub(super) async fn block(
    workers: &mut Workers<'_>,
    at: &LookAt,
    arms: &[Placed],
    order: &[ArmOf],
    stop: &Stop,
) -> Result<Option<Vec<(ArmOf, Slice)>>, Broken> {
    let turns = at.turns();
    let mut pieces: Vec<Vec<Slice>> = order.iter().map(|_| Vec::new()).collect();
    for turn in 0..turns.most {
        for (place, of) in order.iter().enumerate() {
            if stop.is_asked() {
                return Ok(None);
            }
            let Some(arm) = arms.iter().find(|it| it.of == *of) else {
                continue;
            };
            let had_s: f64 = pieces[place].iter().map(|it| it.wall_s).sum();
            if turn > 0 && (arm.is_peer || turns.is_ahead(turn, had_s)) {
                continue;
            }
            let length = match arm.is_peer {
                true => at.length,
                false => turns.length,
            };
            match one_piece(workers, arm, length, turn).await {
                Ok(piece) => pieces[place].push(piece),
                Err(error) => {
                    return Err(Broken {
                        of: *of,
                        error,
                        had: joined(order, pieces),
                    });
                }
            }
        }
    }
    Ok(Some(joined(order, pieces)))
}

fn joined(order: &[ArmOf], pieces: Vec<Vec<Slice>>) -> Vec<(ArmOf, Slice)> {
    let slices = order.iter().zip(pieces);
    let slices = slices.filter_map(|(of, pieces)| Some((*of, Slice::join(pieces)?)));
    slices.collect()
}

/// One turn of one arm.
async fn one_piece(
    workers: &mut Workers<'_>,
    arm: &Placed,
    length: Length,
    turn: usize,
) -> Result<Slice, WorkerError> {
    let then = workers.then.as_mut().and_then(|it| it.process.as_mut());
    let now = workers.now.process.as_mut();
    let (mine, other) = if arm.is_then {
        (then, now)
    } else {
        (now, then)
    };
    let Some(worker) = mine else {
        return Err(WorkerError::Refused("its worker is gone".to_owned()));
    };
    let other = other.and_then(|it| it.pid()).map(Tree::new);
    let read = |tree: &Option<Tree>| tree.as_ref().and_then(|it| it.read().ok());
    let before = read(&other);
    let mut slice = worker.slice(arm.theirs, length, turn).await?;
    if let (Some(before), Some(after)) = (before, read(&other)) {
        let used = after.since(&before);
        slice.beside.idle_s += used;
    }
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(length: Length) -> Turns {
        let look = LookAt {
            sides: vec![0],
            length,
            is_whole: false,
            blocks: 1,
            stage: 1,
            warm_up_s: 0.0,
        };
        let whole = LookAt {
            is_whole: true,
            ..look.clone()
        };
        assert_eq!((whole.turns().most, whole.turns().length), (1, length));
        look.turns()
    }

    #[test]
    fn a_slice_of_a_time_is_cut_and_one_of_operations_is_not() {
        for (seconds, most) in [(0.25, 6), (0.04, 1), (0.01, 1), (0.5, 13)] {
            let cut = turns(Length::Seconds(seconds));
            assert_eq!(cut.most, most, "{seconds}");
            let Length::Seconds(turn) = cut.length else {
                panic!("{cut:?}");
            };
            assert!((turn * f64::from(u32::try_from(most).unwrap()) - seconds).abs() < 1e-9);
        }
        let whole = turns(Length::Operations(7));
        assert_eq!((whole.length, whole.most), (Length::Operations(7), 1));
    }
}
