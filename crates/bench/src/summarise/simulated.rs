//! Cases whose slices come from a seed instead of a clock.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ArmOf, Beside, Block, CaseName, Histogram, Measured, Orders, Process, Role, SideInfo, Slice,
    Target,
};

/// A case to be made up.
pub(crate) struct Simulated {
    pub(crate) roles: Vec<Role>,
    /// CPU microseconds per operation of each side.
    pub(crate) cost_us: Vec<f64>,
    /// The spread of a slice, on logs.
    pub(crate) noise: f64,
    pub(crate) blocks: usize,
    pub(crate) second_blocks: usize,
    /// Operations of a slice that are timed; none are without.
    pub(crate) timed: u64,
    pub(crate) targets: Vec<Target>,
    pub(crate) seed: u64,
}

impl Default for Simulated {
    fn default() -> Simulated {
        Simulated {
            roles: vec![Role::Subject, Role::Control],
            cost_us: vec![20.0, 20.0],
            noise: 0.02,
            blocks: 12,
            second_blocks: 0,
            timed: 0,
            targets: Vec::new(),
            seed: 1,
        }
    }
}

impl Simulated {
    pub(crate) fn run(&self) -> Measured {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut orders = Orders::new(self.seed);
        let mut arms: Vec<ArmOf> = (0..self.roles.len()).map(ArmOf::Side).collect();
        let control = self.roles.iter().position(|it| *it == Role::Control);
        arms.push(ArmOf::Again(control.unwrap_or(0)));
        let blocks = (0..self.blocks + self.second_blocks)
            .map(|i| Block {
                stage: if i < self.blocks { 1 } else { 2 },
                slices: orders
                    .block(&arms)
                    .into_iter()
                    .map(|arm| (arm, self.slice(arm, &mut rng)))
                    .collect(),
            })
            .collect();
        Measured {
            name: CaseName {
                component: "pools".to_owned(),
                case: "point_select".to_owned(),
                variant: BTreeMap::new(),
            },
            about: "A row by its key.".to_owned(),
            settings: serde_json::json!({"size": 16}),
            processes: vec![Process::Client, Process::Postgres],
            targets: self.targets.clone(),
            sides: self.roles.iter().enumerate().map(side).collect(),
            blocks,
            notes: Vec::new(),
        }
    }

    fn slice(&self, arm: ArmOf, rng: &mut fastrand::Rng) -> Slice {
        let (ArmOf::Side(side) | ArmOf::Again(side)) = arm;
        let us = self.cost_us[side] * (self.noise * normal(rng)).exp();
        let operations = 10_000;
        let seconds = us * operations as f64 / 1e6;
        let mut latency = Histogram::new();
        for _ in 0..self.timed {
            let us = 10.0 * us * (0.5 + rng.f64());
            latency.record(Duration::from_secs_f64(us / 1e6));
        }
        Slice {
            operations,
            wall_s: 0.5,
            cpu_s: [("client", 0.6), ("postgres", 0.4), ("redis", 5.0)]
                .into_iter()
                .map(|(process, share)| (process.to_owned(), share * seconds))
                .collect(),
            errors: BTreeMap::new(),
            wrong: 0,
            latency: (self.timed > 0).then(|| latency.encode()),
            figures: [
                ("wait_us".to_owned(), us / 2.0),
                ("size_max".to_owned(), us),
            ]
            .into(),
            flags: Vec::new(),
            beside: Beside::default(),
        }
    }
}

/// Nearly normal, and quick without optimization.
pub(crate) fn normal(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

fn side((i, role): (usize, &Role)) -> SideInfo {
    SideInfo {
        name: format!("side-{i}"),
        version: "1.0".to_owned(),
        role: *role,
        missing: None,
        counts: BTreeMap::new(),
    }
}
