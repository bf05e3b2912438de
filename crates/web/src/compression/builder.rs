//! The options of the compression middleware.

use std::{sync::Arc, thread, time::Duration};

use ruleiq_compression::{
    BuildError, CompressionMetrics, Config, Encoder, LoadHandle, Memo, Policy,
};

use super::{
    CompressionMiddleware, Shared,
    encoding::{Encoding, Limits},
    worker::LoadPolicy,
};

/// A few times what it costs to hand a body to another thread and to get it back.
const INLINE_COST: Duration = Duration::from_micros(250);

/// Some turns of a worker: who waits longer has its answer sooner as it is.
const OFFLOAD_WAIT: Duration = Duration::from_millis(20);

const STREAMS: usize = 64;

/// The options of a [`CompressionMiddleware`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CompressionBuilder {
    config: Config,
    metrics: CompressionMetrics,
    limits: Limits,
    load: Option<LoadHandle>,
}

impl CompressionBuilder {
    /// What is compressed, and how hard.
    pub fn config(mut self, config: Config) -> CompressionBuilder {
        self.config = config;
        self
    }

    /// The size in bytes that a body must exceed. Default: 1000.
    pub fn minimum_size(mut self, minimum_size: usize) -> CompressionBuilder {
        self.config.minimum_size = minimum_size;
        self
    }

    /// Paths that are never compressed, each with all below it. Default: `/health`, `/metrics`,
    /// `/docs`.
    pub fn exclude_paths<P: Into<String>>(
        mut self,
        exclude_paths: impl IntoIterator<Item = P>,
    ) -> CompressionBuilder {
        self.config.exclude_paths = exclude_paths.into_iter().map(P::into).collect();
        self
    }

    /// Where it counts. Default: nowhere.
    pub fn metrics(mut self, metrics: CompressionMetrics) -> CompressionBuilder {
        self.metrics = metrics;
        self
    }

    /// The predicted CPU time up to which a body is encoded where it is. Default: 250 µs.
    ///
    /// Too low: small bodies pay for a change of threads. Too high: a large one holds up all other
    /// requests of its worker.
    pub fn inline_cost(mut self, inline_cost: Duration) -> CompressionBuilder {
        self.limits.inline_cost = inline_cost;
        self
    }

    /// How many larger bodies are encoded at once, in the whole process. Default: half as many as
    /// there are processors, and at least one.
    ///
    /// Too low: large bodies wait. Too high: encoders take the processors from handlers, and from
    /// each other, where two processors are one core.
    pub fn offload_limit(mut self, offload_limit: usize) -> CompressionBuilder {
        self.limits.offloads = offload_limit;
        self
    }

    /// How long a larger body may have to wait until it is encoded, as predicted. Default: 20 ms.
    ///
    /// One that would wait longer is encoded where it is, in the cheapest way that its client accepts, if that costs
    /// little; otherwise it is sent as it is. Too low: large bodies are. Too high: they are late.
    pub fn offload_wait(mut self, offload_wait: Duration) -> CompressionBuilder {
        self.limits.offload_wait = offload_wait;
        self
    }

    /// Has the application say how much there is to do, in place of what each worker measures of itself.
    pub fn load(mut self, load: LoadHandle) -> CompressionBuilder {
        self.load = Some(load);
        self
    }

    /// How many streams are encoded at once, in the whole process. Default: 64.
    ///
    /// Too low: streams are sent as they are. Too high: memory, which each has for as long as it lasts.
    pub fn stream_limit(mut self, stream_limit: usize) -> CompressionBuilder {
        self.limits.streams = stream_limit;
        self
    }

    /// Builds the middleware.
    ///
    /// # Errors
    ///
    /// [`BuildError::Level`] for a level, also of a route, that its coding does not have.
    pub fn build(self) -> Result<CompressionMiddleware, BuildError> {
        let encoder = Encoder::new(&self.config)?.with_metrics(self.metrics.clone());
        let load = match self.load {
            _ if !self.config.load_aware => LoadPolicy::Ignored,
            Some(handle) => LoadPolicy::Told(handle),
            None => LoadPolicy::Measured,
        };
        Ok(CompressionMiddleware(Arc::new(Shared {
            policy: Policy::new(&self.config)?,
            load,
            memo: (self.config.memo_bytes > 0).then(|| Memo::new(self.config.memo_bytes)),
            encoding: Encoding::new(encoder, self.limits),
            metrics: self.metrics,
        })))
    }
}

impl Default for CompressionBuilder {
    fn default() -> CompressionBuilder {
        CompressionBuilder {
            config: Config::default(),
            metrics: CompressionMetrics::default(),
            limits: Limits {
                inline_cost: INLINE_COST,
                offloads: (thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
                offload_wait: OFFLOAD_WAIT,
                streams: STREAMS,
            },
            load: None,
        }
    }
}
